"""``vab embed``: files or texts to vectors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial

import numpy as np

import vab
from tasks.console import track, warn
from tasks.engine import cluster_of
from tasks.retrieval.options import EmbedOptions
from vab.errors import ConfigError, VABError
from vab.files import check_outputs, write_atomically
from vab.pipeline import Pipeline
from vab.shapes import Tensor


def run(options: EmbedOptions) -> int:
    """Exit code 0, or 2 where any input failed; the others are written all the same."""
    suffix = options.output.suffix.lower() if options.output else ".json"
    if suffix not in (".npy", ".parquet", ".json"):
        raise ConfigError(f"{options.output}: unknown kind of file; write .npy, .parquet or .json")
    if options.output:
        check_outputs([options.output])
    load, work = partial(vab.load, options.weights, device=options.device), partial(_embed, options.modality)
    pipeline = load()
    cluster = cluster_of(options.engine, options.scheduler, load)
    found = (
        cluster.map(work, options.inputs) if cluster else (work(pipeline, name) for name in options.inputs)
    )
    names, vectors, failures = [], [], []
    pairs = zip(options.inputs, found, strict=True)
    for name, vector in track(pairs, "embedding", total=len(options.inputs), unit="files"):
        if isinstance(vector, str):
            failures.append(vector)
        else:
            vectors.append(vector)
            names.append(name)
    for failure in failures:
        warn(f"vab embed: {failure}")
    content = _content(suffix, names, vectors, options, pipeline.provenance)
    if options.output:
        write_atomically(options.output, content)
    else:
        print(content.decode())
    return 2 if failures else 0


def _embed(modality: str, pipeline: Pipeline, name: str) -> np.ndarray | str:
    """A vector, or why there is none."""
    embed: dict[str, Callable[[str], Tensor]] = {
        "audio": pipeline.embed_audio,
        "video": pipeline.embed_video,
        "text": pipeline.embed_text,
    }
    try:
        return embed[modality](name).numpy()
    except VABError as error:
        return str(error)


def _content(
    suffix: str,
    names: list[str],
    vectors: list[np.ndarray],
    options: EmbedOptions,
    provenance: dict[str, object],
) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, np.array(vectors, np.float32), allow_pickle=False)
    elif suffix == ".parquet":
        import pandas

        table = {"input": names, "modality": options.modality, "embedding": vectors}
        pandas.DataFrame(table).to_parquet(buffer, index=False)
    else:
        embeddings = [
            {"input": name, "embedding": vector.tolist()} for name, vector in zip(names, vectors, strict=True)
        ]
        document = {**provenance, "modality": options.modality, "embeddings": embeddings}
        buffer.write(json.dumps(document).encode())
    return buffer.getvalue()
