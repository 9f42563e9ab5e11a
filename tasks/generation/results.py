"""Which results are there already, how they were made, and how one is written."""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tasks.generation.options import GenerateOptions
from tasks.record import REMEDY, check_made_with
from vab.errors import VABError
from vab.features.manifest import Clip
from vab.generation import Generation, SaveOptions, settings_file
from vab.pipeline import Pipeline
from vab.selection import Selector
from vab.shapes import Tensor


@dataclass(frozen=True)
class Job:
    """A clip and the files of its results: by number of the sample, or the only one where a selector chooses."""

    clip: Clip
    outputs: dict[int, Path]


@dataclass(frozen=True)
class Run:
    """What all results of a run share."""

    options: GenerateOptions
    save: SaveOptions
    pipeline: Pipeline
    selector: Selector | None
    conditions: Mapping[str, Tensor]
    """What is given instead of being predicted."""
    failures: list[str]
    """Grows as things fail."""


def without_present(jobs: Sequence[Job], run: Run) -> tuple[list[Job], int]:
    """The jobs without the results that are there, made as is asked for now, and how many those are.

    A result that was made otherwise is no job either, but a failure that says what differs.
    """
    options, pipeline, selector = run.options, run.pipeline, run.selector
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
                wanted = pipeline.settings(sampling, seed=options.seed, clip=clip, conditions=run.conditions)
                wanted["save"] = asdict(run.save)
                if selector:
                    chosen = {"by": selector.name, "num_samples": options.num_samples}
                    wanted["selection"] = chosen | selector.provenance
                else:
                    wanted["sample"] = sample
                check_made_with(path, wanted)
                num_present += 1
            except VABError as error:
                run.failures.append(str(error))
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
