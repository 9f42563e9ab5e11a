"""Fill an index, resume after any interruption, add and remove clips; then the files that FAISS answers from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vab.cluster import Cluster
from vab.errors import RetrievalError, VABError, describe
from vab.pipeline import Pipeline
from vab.retrieval.backends import backend_of, create_database, open_database, tables_of
from vab.retrieval.base import ClipDatabase, ClipRecord, IndexInfo, Span
from vab.retrieval.options import Backend, Branch, IndexKind
from vab.retrieval.sources import Source

WINDOWS_PER_STRETCH = 32
"""Windows of a long clip that are encoded and written together."""


@dataclass(frozen=True)
class Added:
    """What an addition did."""

    num_added: int
    num_present: int
    """Clips that were there already, unchanged."""
    failures: list[str]


def open_or_create(
    path: Path,
    pipeline: Pipeline,
    *,
    kind: IndexKind,
    backend: Backend = "faiss",
    tables: str | None = None,
) -> ClipDatabase:
    """A new index, or the one that is there, such as an interrupted build left.

    Args:
        path: its folder.
        pipeline: its model.
        kind: of search.
        backend: what keeps it.
        tables: address in object storage of LanceDB's tables; None = where they are, of a new index the folder.

    Raises:
        RetrievalError: there is an index of another kind, backend or model, or with other tables.
    """
    if backend_of(path) is None:
        provenance = pipeline.provenance
        info = IndexInfo(
            model=_portable(str(provenance["weights"])),
            model_sha256=provenance["weights_sha256"],
            dim=pipeline.model.config.width,
            kind=kind,
        )
        database = create_database(path, info, backend, tables=tables)
    else:
        database = open_database(path)
    check_model(database, pipeline)
    here = {"kind": database.info.kind, "backend": backend_of(path), "tables": tables_of(path)}
    wanted = {"kind": kind, "backend": backend, "tables": tables or here["tables"]}
    for what, there in here.items():
        if there != wanted[what]:
            raise RetrievalError(
                f"{path} already holds an index of {what} {there}; choose that --{what} or another folder"
            )
    return database


def check_model(database: ClipDatabase, pipeline: Pipeline) -> None:
    """Embeddings of two models must never meet.

    Raises:
        RetrievalError: names both.
    """
    here, info = pipeline.provenance["weights_sha256"], database.info
    if here != info.model_sha256:
        raise RetrievalError(
            f"{database.path} was built with {info.model} {info.model_sha256[:16]}, "
            f"{pipeline.provenance['weights']} is {here[:16]}; give the weights it was built with, or build it again"
        )


def add_clips(
    database: ClipDatabase,
    pipeline: Pipeline,
    sources: Sequence[Source],
    *,
    on_clip: Callable[[], None] | None = None,
    cluster: Cluster[Pipeline] | None = None,
) -> Added:
    """Embed what is not there yet, or has changed since.

    Every stretch of windows is saved when it is done, also when this is stopped by an exception. A file that cannot be
    embedded, for whatever reason, is noted, and tried again whenever it is named again.

    Args:
        database: of the index.
        pipeline: the model it was built with.
        sources: files and stored clips; those outside every media root of the index get a root of their own.
        on_clip: called after each clip.
        cluster: whose workers embed; this process only writes.
    """
    check_model(database, pipeline)
    roots, present = _roots_for(database, sources), database.clips
    failures: list[str] = []
    started: deque[ClipRecord] = deque()

    def wanted() -> Iterator[tuple[Source, int]]:
        """What is to be embedded and from where on; its record is then the last of ``started``."""
        for source in sources:
            number = next(number for number, root in roots.items() if source.path.is_relative_to(root))
            key = source.key(roots[number])
            key = key if number == min(roots) else f"{number}:{key}"
            clip = present.get(key)
            is_same = clip is not None and clip.stamp == source.stamp()
            if clip and is_same and clip.resume is None and clip.error is None:
                if on_clip:
                    on_clip()
                continue
            if clip is None or not is_same:
                path = source.path.relative_to(roots[number]).as_posix()
                clip = database.start_clip(key, number, path, source.stamp())
            started.append(clip)
            yield source, clip.resume or 0

    def begun(clip: ClipRecord) -> ClipRecord:
        """Without the error that an earlier run noted; one that fails alike again leaves the index as it is."""
        return clip if clip.error is None else database.start_clip(clip.key, clip.root, clip.path, clip.stamp)

    num_embedded = 0
    embedded: Iterator[Iterable[_Stretch | str]]
    try:
        if cluster is None:
            embedded = (_stretches(pipeline, *task) for task in wanted())
        else:
            sha256 = database.info.model_sha256
            embedded = cluster.map(partial(_stretches_by_worker, sha256=sha256), wanted())
        for stretches in embedded:
            clip = started.popleft()
            num_embedded += 1
            for stretch in stretches:
                if isinstance(stretch, str):
                    if clip.error != stretch:
                        database.fail_clip(begun(clip), stretch)
                    failures.append(stretch)
                else:
                    clip = begun(clip)
                    database.add_stretch(clip, stretch.spans, stretch.vectors, resume=stretch.resume)
            if on_clip:
                on_clip()
    finally:
        database.commit()
    return Added(num_embedded - len(failures), len(sources) - num_embedded, failures)


def remove_clips(database: ClipDatabase, names: Sequence[str]) -> int:
    """Take clips out, by key, or by file or folder; returns how many.

    Raises:
        RetrievalError: a name that is no clip of the index.
    """
    gone: dict[int, ClipRecord] = {}
    clips, roots = database.clips.values(), database.roots
    for name in names:
        path = Path(name).absolute()
        found = {
            clip.id: clip
            for clip in clips
            if name in (clip.key, clip.path)
            or clip.path.startswith(f"{name}/")
            or (roots[clip.root] / clip.path).is_relative_to(path)
        }
        if not found:
            starts = " or ".join(map(str, roots.values()))
            raise RetrievalError(f"{name}: no clip of {database.path}; its clips' paths start at {starts}")
        gone |= found
    database.remove_clips(list(gone.values()))
    database.commit()
    return len(gone)


def verify_index(path: Path) -> list[str]:
    """One line for each thing that is wrong with an index: its embeddings, its clips, its FAISS files.

    Raises:
        RetrievalError: it cannot be opened.
    """
    database = open_database(path)
    unfinished = sum(clip.resume is not None for clip in database.clips.values())
    problems = []
    if unfinished:
        problems.append(f"{path}: {unfinished} clips are half embedded; re-run what built it to resume")
    return list(dict.fromkeys(problems + database.problems()))


def _roots_for(database: ClipDatabase, sources: Sequence[Source]) -> dict[int, Path]:
    """The media roots of an index by number, with one more where some sources lie below none of them."""
    roots = database.roots
    outside = [
        source.path.parent
        for source in sources
        if not any(source.path.is_relative_to(root) for root in roots.values())
    ]
    if outside:
        root = Path(os.path.commonpath(outside))
        roots[database.add_root(root)] = root
    return roots


@dataclass(frozen=True)
class _Stretch:
    """Windows of a clip with their embeddings."""

    spans: list[Span]
    vectors: dict[Branch, np.ndarray]
    resume: int | None
    """Point of the time grid where the next stretch begins; None = this is the last."""


def _stretches(pipeline: Pipeline, source: Source, point: int) -> Iterator[_Stretch | str]:
    """A clip from a point on, stretch by stretch; a text in place of one says why there are no more."""
    resume: int | None = point
    try:
        while resume is not None:
            stretch = _embed_stretch(source, pipeline, resume)
            if not all(np.isfinite(part).all() for part in stretch.vectors.values()):
                raise RetrievalError(f"{source.path}: its embedding holds numbers that are not finite")
            resume = stretch.resume
            yield stretch
    except Exception as error:  # MemoryError too: one file never ends the others
        yield str(error) if isinstance(error, VABError) else f"{source.path}: {describe(error)}"


def _stretches_by_worker(
    pipeline: Pipeline, task: tuple[Source, int], *, sha256: str
) -> list[_Stretch | str]:
    """All of a clip, in a worker of a cluster."""
    if (here := pipeline.provenance["weights_sha256"]) != sha256:
        raise RetrievalError(
            f"a worker's weights are {here[:16]}, not {sha256[:16]}; give all machines the same"
        )
    return list(_stretches(pipeline, *task))


def _embed_stretch(source: Source, pipeline: Pipeline, point: int) -> _Stretch:
    """Windows of a clip from a point of the time grid on, their embeddings, and where the next ones begin."""
    cut, period = pipeline.windows, pipeline.windows.grid.period
    # One window more than is kept, and what could belong to it: so no stretch is left too short for a window.
    wanted = WINDOWS_PER_STRETCH * cut.hop + cut.longest
    clip = source.encode(pipeline, float(point * period), float(wanted * period))
    num_steps = 0 if clip.codes is None else clip.codes.shape[1]
    num_frames = 0 if clip.visual is None else len(clip.visual)
    windows = cut.covering(num_steps, num_frames)
    resume = None
    if cut.grid.num_within({"codes": num_steps, "clip": num_frames}) >= wanted:
        windows, resume = windows[:WINDOWS_PER_STRETCH], point + WINDOWS_PER_STRETCH * cut.hop
    none = np.zeros((0, pipeline.model.config.width), np.float32)
    frames = [] if clip.visual is None else [clip.visual[w.frames] for w in windows if _is_there(w.frames)]
    codes = [] if clip.codes is None else [clip.codes[:, w.steps] for w in windows if _is_there(w.steps)]
    vectors: dict[Branch, np.ndarray] = {
        "video": pipeline.embed_frames(frames).numpy() if frames else none,
        "audio": pipeline.embed_codes(codes).numpy() if codes else none,
    }
    start = source.start + float(point * period)
    spans = [(start + w.start, w.seconds, _is_there(w.frames), _is_there(w.steps)) for w in windows]
    return _Stretch(spans, vectors, resume)


def _is_there(part: slice) -> bool:
    return part.stop > part.start


def _portable(weights: str) -> str:
    """A name as it is, a path made absolute so that it is found from anywhere."""
    return str(Path(weights).absolute()) if Path(weights).is_file() else weights
