"""Fill an index, go on after any interruption, add and remove clips; then the files that FAISS answers from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vab.errors import RetrievalError, VABError
from vab.pipeline import Pipeline
from vab.retrieval.index import vectors_file
from vab.retrieval.log import BRANCHES, ClipRecord, EmbeddingLog, IndexInfo
from vab.retrieval.options import Branch, IndexKind
from vab.retrieval.sources import EncodedClip, Source
from vab.retrieval.vectors import build_vectors, open_vectors, recall_of, write_vectors
from vab.retrieval.windows import Window

CLIPS_PER_SEGMENT = 64
"""Clips embedded between two writes: what a kill costs at most."""
NUM_RECALL_QUERIES = 200


@dataclass(frozen=True)
class Added:
    """What an addition did."""

    num_added: int
    num_present: int
    """Clips that were there already, unchanged."""
    failures: list[str]


def start_index(
    path: Path, pipeline: Pipeline, sources: Sequence[Source], *, kind: IndexKind
) -> EmbeddingLog:
    """A new index for these sources, or the one that an interrupted build left.

    Raises:
        RetrievalError: the folder holds an index of another kind, model or media root.
    """
    root = Path(os.path.commonpath([source.path.parent for source in sources]))
    info = IndexInfo(
        model=_portable(str(pipeline.provenance["weights"])),
        model_sha256=pipeline.provenance["weights_sha256"],
        dim=pipeline.model.config.width,
        kind=kind,
        media_root=str(root),
        media_root_from_index=os.path.relpath(root, path.absolute()),
    )
    if not (path / "index.json").exists():
        return EmbeddingLog.create(path, info)
    log = EmbeddingLog(path)
    check_model(log, pipeline)
    if log.info.kind != kind or log.media_root != root:
        raise RetrievalError(
            f"{path} already holds an index of kind {log.info.kind} over {log.media_root}; "
            "add to it with `vab index add`, or choose another folder"
        )
    return log


def check_model(log: EmbeddingLog, pipeline: Pipeline) -> None:
    """Embeddings of two models must never meet.

    Raises:
        RetrievalError: names both.
    """
    here = pipeline.provenance["weights_sha256"]
    if here != log.info.model_sha256:
        raise RetrievalError(
            f"{log.path} was built with {log.info.model} {log.info.model_sha256[:16]}, "
            f"{pipeline.provenance['weights']} is {here[:16]}; give the weights it was built with, or build it again"
        )


def add_clips(
    log: EmbeddingLog,
    pipeline: Pipeline,
    sources: Sequence[Source],
    *,
    on_clip: Callable[[], None] | None = None,
) -> Added:
    """Embed what is not there yet, or has changed since; a segment is written every ``CLIPS_PER_SEGMENT`` clips.

    A file that cannot be read is noted and tried again only when it has changed.

    Raises:
        RetrievalError: a source outside the index's media root, or an id that another file has.
    """
    check_model(log, pipeline)
    root, present = log.media_root, log.clips
    wanted = []
    for source in sources:
        if not source.path.is_relative_to(root):
            raise RetrievalError(f"{source.path}: is not below {root}, the media root of {log.path}")
        known = present.get(source.key(root))
        if known is None or known.stamp != source.stamp():
            wanted.append(source)
    failures: list[str] = []
    for first in range(0, len(wanted), CLIPS_PER_SEGMENT):
        chunk = wanted[first : first + CLIPS_PER_SEGMENT]
        records, visual, audio = [], [], []
        for source in chunk:
            record, parts = _embed(source, root, pipeline)
            records.append(record)
            visual.append(parts["visual"])
            audio.append(parts["audio"])
            failures += [record.error] if record.error else []
            if on_clip:
                on_clip()
        log.append(records, np.concatenate(visual), np.concatenate(audio))
    return Added(len(wanted) - len(failures), len(sources) - len(wanted), failures)


def remove_clips(log: EmbeddingLog, names: Sequence[str]) -> int:
    """Take clips out, by key, or by file or folder on disk; returns how many.

    Raises:
        RetrievalError: a name that is no clip of the index.
    """
    gone: dict[str, ClipRecord] = {}
    clips, root = log.clips, log.media_root
    for name in names:
        path = Path(name).absolute()
        below = path.relative_to(root).as_posix() if path.is_relative_to(root) else name
        matches = {
            key: clip
            for key, clip in clips.items()
            if key == name or below in (".", clip.path) or clip.path.startswith(f"{below}/")
        }
        if not matches:
            raise RetrievalError(f"{name}: no clip of {log.path}; its clips' paths start at {root}")
        gone |= matches
    nothing = np.zeros((0, log.info.dim), np.float32)
    log.append([ClipRecord(key, clip.path, is_removed=True) for key, clip in gone.items()], nothing, nothing)
    return len(gone)


def finish_index(log: EmbeddingLog) -> dict[Branch, float]:
    """Write the files that FAISS answers from, where they are damaged or not those of all clips; remove older ones.

    Returns:
        For an index that is not exact, recall@10 of each branch against exact search, the queries being the other
        branch's embeddings.
    """
    live = {branch: log.live(branch) for branch in BRANCHES}
    recalls: dict[Branch, float] = {}
    for branch, other in zip(BRANCHES, reversed(BRANCHES), strict=True):
        file = vectors_file(log, branch)
        vectors = live[branch].vectors
        if not _is_sound(file, vectors):
            index = build_vectors(vectors, log.info.kind)
            write_vectors(index, file)
            if log.info.kind != "flat" and len(vectors) and len(live[other].vectors):
                recalls[branch] = recall_of(index, vectors, live[other].vectors[:NUM_RECALL_QUERIES])
    current = {vectors_file(log, branch) for branch in BRANCHES}
    for old in set(log.path.glob("*.faiss*")) - current:
        old.unlink()
    return recalls


def _is_sound(file: Path, vectors: np.ndarray) -> bool:
    try:
        open_vectors(file, num_vectors=len(vectors), dim=vectors.shape[1])
    except RetrievalError:
        return False
    return True


def _embed(source: Source, root: Path, pipeline: Pipeline) -> tuple[ClipRecord, dict[Branch, np.ndarray]]:
    key, path, stamp = source.key(root), source.path.relative_to(root).as_posix(), source.stamp()
    nothing = np.zeros((0, pipeline.model.config.width), np.float32)
    try:
        clip = source.encode(pipeline)
        parts, windows = _embed_windows(clip, pipeline)
    except VABError as error:
        return ClipRecord(key, path, stamp, error=str(error)), {"visual": nothing, "audio": nothing}
    if not all(np.isfinite(part).all() for part in parts.values()):
        reason = f"{source.path}: its embedding holds numbers that are not finite"
        return ClipRecord(key, path, stamp, error=reason), {"visual": nothing, "audio": nothing}
    spans = tuple(
        (source.start + w.start, w.seconds, w.frames.stop > w.frames.start, w.steps.stop > w.steps.start)
        for w in windows
    )
    return ClipRecord(key, path, stamp, spans), parts


def _embed_windows(clip: EncodedClip, pipeline: Pipeline) -> tuple[dict[Branch, np.ndarray], list[Window]]:
    codes, visual = clip.codes, clip.visual
    windows = pipeline.cutter.cut(
        0 if codes is None else codes.shape[1], 0 if visual is None else len(visual)
    )
    frames = (
        [visual[w.frames] for w in windows if w.frames.stop > w.frames.start] if visual is not None else []
    )
    steps = [codes[:, w.steps] for w in windows if w.steps.stop > w.steps.start] if codes is not None else []
    nothing = torch.zeros(0, pipeline.model.config.width)
    parts: dict[Branch, np.ndarray] = {
        "visual": (pipeline.embed_frames(frames) if frames else nothing).numpy(),
        "audio": (pipeline.embed_codes(steps) if steps else nothing).numpy(),
    }
    return parts, windows


def _portable(weights: str) -> str:
    """A name as it is, a path made absolute so that it is found from anywhere."""
    return str(Path(weights).absolute()) if Path(weights).is_file() else weights
