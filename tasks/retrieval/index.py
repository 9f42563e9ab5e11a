"""``vab index build``, ``add`` and ``remove``: clips in and out of an index."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import vab
from tasks.console import console, errors, progress_bar
from tasks.retrieval.opening import load_for
from tasks.retrieval.options import IndexAddOptions, IndexBuildOptions, IndexRemoveOptions
from vab.pipeline import Pipeline
from vab.retrieval.building import add_clips, finish_index, remove_clips, start_index
from vab.retrieval.log import BRANCHES, EmbeddingLog, only_writer
from vab.retrieval.sources import Source, find_sources


def build(options: IndexBuildOptions) -> int:
    """Exit code 0, or 2 where any file could not be read."""
    pipeline = vab.load(options.weights, device=options.device)
    sources = find_sources(options.inputs, pipeline)
    with only_writer(options.output, make=True):
        return _fill(start_index(options.output, pipeline, sources, kind=options.kind), pipeline, sources)


def add(options: IndexAddOptions) -> int:
    """Exit code 0, or 2 where any file could not be read."""
    path, *inputs = options.index
    with only_writer(path):
        log = EmbeddingLog(path)
        pipeline = load_for(log, options.weights, options.device)
        return _fill(log, pipeline, find_sources(inputs, pipeline))


def remove(options: IndexRemoveOptions) -> int:
    """Exit code 0."""
    path, *names = options.index
    with only_writer(Path(path)):
        log = EmbeddingLog(Path(path))
        count = remove_clips(log, names) if names else 0
        finish_index(log)
    console.print(f"{count} removed, {_count(log)} left in {path}", markup=False)
    return 0


def _fill(log: EmbeddingLog, pipeline: Pipeline, sources: Sequence[Source]) -> int:
    began = time.monotonic()
    with progress_bar("clips") as progress:
        task = progress.add_task("embedding", total=len(sources))
        added = add_clips(log, pipeline, sources, on_clip=lambda: progress.advance(task))
        progress.update(task, completed=len(sources))
    recalls = finish_index(log)
    for failure in added.failures:
        errors.print(f"vab index: {failure}", markup=False, soft_wrap=True)
    windows = ", ".join(f"{len(log.live(branch).windows)} {branch}" for branch in BRANCHES)
    present = f", {added.num_present} there already" if added.num_present else ""
    failed = f", {len(added.failures)} failed" if added.failures else ""
    console.print(
        f"{added.num_added} added{present}{failed}: {_count(log)} clips, {windows} windows in {log.path}, "
        f"{time.monotonic() - began:.1f} s",
        markup=False,
    )
    for branch, recall in recalls.items():
        console.print(
            f"{branch}: recall@10 against exact search {recall:.3f} ({log.info.kind})", markup=False
        )
    return 2 if added.failures else 0


def _count(log: EmbeddingLog) -> int:
    return sum(clip.error is None for clip in log.clips.values())
