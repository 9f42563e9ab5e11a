"""``vab index build``, ``add``, ``remove`` and ``verify``: clips in and out of an index, and whether it is sound."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import vab
from tasks.console import progress_bar, say, warn
from tasks.engine import cluster_of
from tasks.retrieval.options import IndexAddOptions, IndexBuildOptions, IndexRemoveOptions, IndexVerifyOptions
from vab.cluster import Cluster
from vab.errors import StoppedError
from vab.pipeline import Pipeline
from vab.retrieval.backends import open_database
from vab.retrieval.base import BRANCHES, ClipDatabase
from vab.retrieval.building import add_clips, open_or_create, remove_clips, verify_index
from vab.retrieval.database import only_writer
from vab.retrieval.search import load_for
from vab.retrieval.sources import Source, find_sources


def build(options: IndexBuildOptions) -> int:
    """Exit code 0, or 2 where any file could not be read, 130 or 143 where it was stopped."""
    pipeline = vab.load(options.weights, device=options.device)
    sources = find_sources(options.inputs, pipeline)
    with only_writer(options.output, make=True):
        database = open_or_create(
            options.output, pipeline, kind=options.kind, backend=options.backend, tables=options.tables
        )
        return _fill(database, pipeline, sources, _cluster(options, options.weights))


def add(options: IndexAddOptions) -> int:
    """Exit code 0, or 2 where any file could not be read, 130 or 143 where it was stopped."""
    path, *inputs = options.index
    with only_writer(path):
        database = open_database(path)
        pipeline = load_for(database, options.weights, options.device)
        cluster = _cluster(options, options.weights or database.info.model)
        return _fill(database, pipeline, find_sources(inputs, pipeline), cluster)


def remove(options: IndexRemoveOptions) -> int:
    """Exit code 0."""
    path, *names = options.index
    with only_writer(Path(path)):
        database = open_database(Path(path))
        count = remove_clips(database, names) if names else 0
        database.finish()
    say(f"{count} removed, {database.num_clips} left in {path}")
    return 0


def verify(options: IndexVerifyOptions) -> int:
    """Exit code 0, or 2 where anything is wrong."""
    problems = [problem for path in options.index for problem in verify_index(path)]
    for problem in problems:
        warn(f"vab index verify: {problem}")
    if not problems:
        for path in options.index:
            database = open_database(path)
            say(f"{path}: sound, {database.num_clips} clips, {_windows(database)}")
    return 2 if problems else 0


def _cluster(options: IndexBuildOptions | IndexAddOptions, weights: str) -> Cluster[Pipeline] | None:
    load = partial(vab.load, weights, device=options.device)
    return cluster_of(options.engine, options.scheduler, load)


def _fill(
    database: ClipDatabase, pipeline: Pipeline, sources: Sequence[Source], cluster: Cluster[Pipeline] | None
) -> int:
    began = time.monotonic()
    with _stoppable(), progress_bar("clips") as progress:
        task = progress.add_task("embedding", total=len(sources))
        added = add_clips(
            database, pipeline, sources, on_clip=lambda: progress.advance(task), cluster=cluster
        )
        recalls = database.finish()
    for failure in added.failures:
        warn(f"vab index: {failure}")
    present = f", {added.num_present} there already" if added.num_present else ""
    failed = f", {len(added.failures)} failed" if added.failures else ""
    say(
        f"{added.num_added} added{present}{failed}: {database.num_clips} clips, {_windows(database)} "
        f"in {database.path}, {time.monotonic() - began:.1f} s"
    )
    for branch, recall in recalls.items():
        say(f"{branch}: recall@10 against exact search {recall:.3f} ({database.info.kind})")
    return 2 if added.failures else 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM end what is under way, which has saved what it had done."""

    def stop(number: int, _: object) -> None:
        raise _Stop(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Stop as error:
        raise StoppedError("stopped; what is done is saved", error.args[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop(BaseException):
    """No ``except Exception`` on the way holds it up."""


def _windows(database: ClipDatabase) -> str:
    return ", ".join(f"{len(database.open(branch))} {branch}" for branch in BRANCHES) + " windows"
