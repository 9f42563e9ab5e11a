"""``vab refine``: sound, videos or codes in, all codebooks of the codec out; one bad file never stops the others."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vab
from tasks.console import say, track, warn
from tasks.record import check_made_with
from tasks.refinement.options import RefineOptions
from vab import __version__, media
from vab.codecs.sound import CodedSound
from vab.config import to_dict, with_changes
from vab.errors import VABError
from vab.files import check_outputs, write_atomically
from vab.generation import settings_file
from vab.models.base import CodeRefiner
from vab.pipeline import Pipeline
from vab.shapes import Int, Tensor


@dataclass(frozen=True)
class CoarseClip:
    """What is refined."""

    codes: Int[Tensor, "K S"]
    conditions: Mapping[str, Tensor] | None
    """None = there are no frames."""
    num_samples: int
    """Length of its sound."""


def run(options: RefineOptions) -> int:
    """Exit code 0, or 2 where any input failed."""
    stems = Counter(path.stem for path in options.inputs)
    if twice := [stem for stem, count in stems.items() if count > 1]:
        raise VABError(
            f"{len(twice)} names come twice among the inputs, such as {twice[0]!r}; refine them into two folders"
        )
    outputs = {path: options.output / f"{path.stem}.{options.format}" for path in options.inputs}
    check_outputs([*outputs.values(), *map(settings_file, outputs.values())], options.inputs)
    pipeline = vab.load(options.weights, device=options.device)
    sampling = chosen_sampling(pipeline.refiner, options.steps, options.cfg_scale, options.temperature)
    failures, num_present = [], 0
    for path, out in track(outputs.items(), "refining", unit="files"):
        settings = {
            "input": path.name,
            "seed": options.seed,
            "sampling": to_dict(sampling),
            **how_made(pipeline),
        }
        try:
            if out.exists() and not options.overwrite:
                check_made_with(out, settings)
                num_present += 1
                continue
            clip = _read(path, pipeline)
            [codes] = pipeline.refiner.refine(
                [clip.codes],
                None if clip.conditions is None else [clip.conditions],
                options=sampling,
                seeds=[options.seed],
                batch_size=1,
            )
            out.unlink(missing_ok=True)  # the JSON comes first: a result is never beside that of another
            settings |= {"has_frames": clip.conditions is not None}
            write_atomically(settings_file(out), json.dumps(settings, indent=2) + "\n")
            _write(out, codes, clip.num_samples, pipeline)
        except VABError as error:
            failures.append(str(error))
    for failure in failures:
        warn(f"vab refine: {failure}")
    num_done = len(options.inputs) - len(failures) - num_present
    present = f", {num_present} there already (--overwrite makes them again)" if num_present else ""
    failed = f", {len(failures)} failed" if failures else ""
    say(f"{num_done} made in {options.output}{present}{failed}")
    return 2 if failures else 0


def chosen_sampling(
    refiner: CodeRefiner, steps: int | None, cfg_scale: float | None, temperature: float | None
) -> Any:
    """The options that the weights recommend, with what is not None."""
    given = {"num_steps": steps, "cfg_scale": cfg_scale, "temperature": temperature}
    return with_changes(refiner.sampling, given, source="sampling")


def how_made(pipeline: Pipeline) -> dict[str, Any]:
    """What every result says of the weights and the program."""
    return {
        **pipeline.provenance,
        "components": to_dict(pipeline.card)["components"],
        "num_coarse_codebooks": pipeline.refiner.num_coarse_codebooks,
        "num_codebooks": pipeline.refiner.num_codebooks,
        "sample_rate": pipeline.codec.sample_rate,
        "device": str(pipeline.device),
        "vab": __version__,
        "torch": torch.__version__,
    }


def _read(path: Path, pipeline: Pipeline) -> CoarseClip:
    """The coarse codes of a file, and its frames' features if it has any.

    Raises:
        VABError: it cannot be read, or its codes are not this codec's.
    """
    codec, num_coarse = pipeline.codec, pipeline.refiner.num_coarse_codebooks
    if path.suffix == ".npy":
        codes = read_codes(path, num_coarse, codec.codebook_size)
        return CoarseClip(codes, None, codes.shape[1] * codec.hop_length)
    has_frames = media.probe(path).video is not None
    waveform = media.read_audio(path, codec.sample_rate)
    codes = pipeline.encode_audio(waveform)[:num_coarse]
    return CoarseClip(codes, pipeline.encode_conditions(path) if has_frames else None, waveform.shape[1])


def read_codes(path: Path, num_coarse: int, codebook_size: int) -> Int[Tensor, "K S"]:
    """The first codebooks of a file of codes [K, S].

    Raises:
        VABError: no such file, or no such codes in it.
    """
    try:
        codes = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise VABError(f"{path}: cannot be read as codes; give a .npy that 'vab refine' wrote") from error
    if not isinstance(codes, np.ndarray) or codes.ndim != 2 or codes.dtype.kind not in "iu":
        raise VABError(f"{path}: holds no codes [K, S] of whole numbers; give a .npy that 'vab refine' wrote")
    if len(codes) < num_coarse or not codes.shape[1]:
        raise VABError(f"{path}: codes {list(codes.shape)}, at least {num_coarse} codebooks are needed")
    codes = codes[:num_coarse].astype(np.int64)
    if codes.min() < 0 or codes.max() >= codebook_size:
        raise VABError(f"{path}: its codes are not all within 0..{codebook_size - 1}; it is another codec's")
    return torch.from_numpy(codes)


def _write(out: Path, codes: Int[Tensor, "K S"], num_samples: int, pipeline: Pipeline) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npy":
        content = io.BytesIO()
        np.save(content, codes.numpy().astype(np.int32))
        write_atomically(out, content.getvalue())
        return
    sound = CodedSound(codes, pipeline.codec, num_samples)
    media.write_audio(out, sound.pieces(), sound.sample_rate)
