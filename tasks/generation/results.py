"""Which results are there already, how they were made, and how one is written."""

from __future__ import annotations

import filecmp
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tasks.generation.options import GenerateOptions
from vab.errors import VABError
from vab.features.manifest import Clip
from vab.generation import Generation, SaveOptions, settings_file
from vab.pipeline import Pipeline
from vab.selection import Selector
from vab.shapes import Tensor

NOT_COMPARED = ("weights", "device", "vab", "torch")
"""Settings that say where a sound was made, not what is made."""
REMEDY = "add --overwrite to make it again, or choose another output (-o)"


@dataclass(frozen=True)
class Job:
    """A clip and the files of its results: by number of the sample, or the only one where a selector chooses."""

    clip: Clip
    outputs: dict[int, Path]


def without_present(
    jobs: Sequence[Job],
    pipeline: Pipeline,
    selector: Selector | None,
    options: GenerateOptions,
    save: SaveOptions,
    conditions: Mapping[str, Tensor],
    failures: list[str],
) -> tuple[list[Job], int]:
    """The jobs without the results that are there, made as is asked for now, and how many those are.

    A result that was made otherwise is no job either, but a failure that says what differs.
    """
    sampling = pipeline.sampling_options(
        options.sampling, steps=options.steps, cfg_scale=options.cfg_scale, temperature=options.temperature
    )
    todo, num_present = [], 0
    for job in jobs:
        missing = dict(job.outputs)
        for sample, path in job.outputs.items():
            if not path.exists() or not settings_file(path).exists():
                continue
            del missing[sample]
            try:
                clip, _ = pipeline.locate(job.clip)
                wanted = pipeline.settings(sampling, seed=options.seed, clip=clip, conditions=conditions)
                wanted["save"] = asdict(save)
                if selector:
                    chosen = {"by": selector.name, "num_samples": options.num_samples}
                    wanted["selection"] = chosen | selector.provenance
                else:
                    wanted["sample"] = sample
                differences = list(_differences(_read(path), wanted))
            except VABError as error:
                failures.append(str(error))
                continue
            if differences:
                failures.append(f"{path}: was made with {', '.join(differences)}; {REMEDY}")
            else:
                num_present += 1
        if missing:
            todo.append(replace(job, outputs=missing))
    return todo, num_present


def write(generation: Generation, path: Path, save: SaveOptions, *, overwrite: bool) -> None:
    """Save a result; where the file is there without its JSON, complete it if it is the very same.

    Raises:
        VABError: it cannot be written, or another file is in its place.
    """
    if overwrite or not path.exists():
        generation.save(path, save)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        again = Path(folder) / path.name
        generation.save(again, save)
        if not filecmp.cmp(again, path, shallow=False):
            raise VABError(
                f"{path}: is there without a JSON that says how it was made, and differs; {REMEDY}"
            )
        settings_file(again).replace(settings_file(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(settings_file(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise VABError(f"{settings_file(path)}: cannot be read as JSON; {REMEDY}") from error
    return settings if isinstance(settings, dict) else {}


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """What differs, in words: ``seed 0 instead of 1``."""
    for name, value in wanted.items():
        if name in NOT_COMPARED:
            continue
        if isinstance(value, dict):
            inner = found.get(name)
            yield from _differences(inner if isinstance(inner, dict) else {}, value)
        elif found.get(name) != value:
            yield f"{name} {found.get(name)} instead of {value}"
