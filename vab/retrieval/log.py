"""Embeddings on disk, only ever added to: what is written is never changed, so a kill at any moment harms nothing.

``index.json`` says what all have in common. A segment holds some clips: ``segments/000000.visual.npy`` and
``.audio.npy`` float32 [n, P], then ``segments/000000.jsonl``, whose presence makes the segment count: a head with the
digests of the two, then a line a clip. Of a clip that several segments name, the last one holds: so a clip is replaced
by writing it again and removed by writing that it is gone.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vab.checkpoint import one_line
from vab.errors import RetrievalError
from vab.features.files import read_lines, to_lines
from vab.files import remove_leftovers, write_atomically
from vab.retrieval.options import Branch, IndexKind

FORMAT = "vab-index"
FORMAT_VERSION = 1
BRANCHES: tuple[Branch, Branch] = ("visual", "audio")


@dataclass(frozen=True)
class IndexInfo:
    """What all embeddings of an index have in common."""

    model: str
    """Name or path of the weights."""
    model_sha256: str
    """Of the weights: other ones are refused, as their embeddings mean something else."""
    dim: int
    """P, width of an embedding."""
    kind: IndexKind
    media_root: str
    """Folder that clips' paths start from."""
    media_root_from_index: str
    """The same, seen from the index: both may be moved together."""


@dataclass(frozen=True)
class ClipRecord:
    """One clip of an index: a file, or a stored clip of one."""

    key: str
    """Unique in the index: the path of a file, the id of a stored clip."""
    path: str
    """Relative to the media root."""
    stamp: tuple[int, ...] = ()
    """Size and time of change of a file, by which a changed one is noticed."""
    windows: tuple[tuple[float, float, bool, bool], ...] = ()
    """Start and length in seconds, and whether it has a visual and an audio embedding."""
    error: str | None = None
    """Why there are none."""
    is_removed: bool = False


@dataclass(frozen=True)
class Segment:
    """Clips that were written together."""

    path: Path
    """Without suffix."""
    clips: tuple[ClipRecord, ...]
    counts: dict[Branch, int]
    """Rows of each branch."""
    digest: str

    def read(self, branch: Branch, dim: int) -> np.ndarray:
        """Embeddings float32 [n, P], memory-mapped.

        Raises:
            RetrievalError: absent or damaged.
        """
        file = self.path.with_name(f"{self.path.name}.{branch}.npy")
        try:
            vectors = np.load(file, mmap_mode="r" if self.counts[branch] else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RetrievalError(
                f"{file}: cannot be read ({one_line(error)}); build the index again"
            ) from error
        if vectors.shape != (self.counts[branch], dim) or vectors.dtype != np.float32:
            raise RetrievalError(
                f"{file}: damaged, holds {vectors.dtype} {vectors.shape}; build the index again"
            )
        return vectors


@dataclass(frozen=True)
class LiveWindow:
    """A window that can be found."""

    clip: ClipRecord
    start: float
    seconds: float


@dataclass(frozen=True)
class LiveVectors:
    """What an index answers from, one branch."""

    vectors: np.ndarray
    """float32 [n, P]."""
    windows: list[LiveWindow]


class EmbeddingLog:
    """A folder of segments, opened; ``append`` writes one more."""

    def __init__(self, path: Path) -> None:
        """Open what is there.

        Raises:
            RetrievalError: no index, one of another format, or a damaged segment.
        """
        self.path = path
        self.info = _read_info(path)
        self.segments = [_read_segment(file) for file in sorted((path / "segments").glob("[0-9]*.jsonl"))]

    @classmethod
    def create(cls, path: Path, info: IndexInfo) -> EmbeddingLog:
        """A new index without clips.

        Raises:
            RetrievalError: the folder cannot be made.
        """
        try:
            (path / "segments").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RetrievalError(
                f"{path}: cannot be made ({error.strerror}); choose another folder"
            ) from error
        document = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(info)}
        write_atomically(path / "index.json", json.dumps(document, indent=2) + "\n")
        return cls(path)

    @property
    def clips(self) -> dict[str, ClipRecord]:
        """By key: those that are there, and those that failed."""
        newest = {clip.key: clip for segment in self.segments for clip in segment.clips}
        return {key: clip for key, clip in newest.items() if not clip.is_removed}

    @property
    def digest(self) -> str:
        """Of everything that answers depend on."""
        text = self.info.kind + "".join(segment.digest for segment in self.segments)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def media_root(self) -> Path:
        """Where paths start: beside the index if it was moved together with the media, else where it was."""
        moved = Path(os.path.normpath(self.path.absolute() / self.info.media_root_from_index))
        return moved if moved.is_dir() else Path(self.info.media_root)

    def append(self, clips: Sequence[ClipRecord], visual: np.ndarray, audio: np.ndarray) -> None:
        """Write one more segment; rows are in the order of the clips' windows, where these have that branch."""
        number = 1 + max((int(segment.path.name) for segment in self.segments), default=-1)
        stem = self.path / "segments" / f"{number:06d}"
        digests = {}
        for branch, vectors in zip(BRANCHES, (visual, audio), strict=True):
            content = io.BytesIO()
            np.save(content, np.ascontiguousarray(vectors, np.float32), allow_pickle=False)
            write_atomically(stem.with_name(f"{stem.name}.{branch}.npy"), content.getvalue())
            digests[branch] = hashlib.sha256(content.getvalue()).hexdigest()
        head = {"counts": {"visual": len(visual), "audio": len(audio)}, "sha256": digests}
        lines = stem.with_name(f"{stem.name}.jsonl")
        write_atomically(lines, to_lines([head, *map(asdict, clips)]))
        self.segments.append(_read_segment(lines))

    def live(self, branch: Branch) -> LiveVectors:
        """All embeddings of a branch that hold, in the order of writing.

        Raises:
            RetrievalError: a segment is damaged.
        """
        which = BRANCHES.index(branch)
        last = {clip.key: number for number, segment in enumerate(self.segments) for clip in segment.clips}
        parts, windows = [np.zeros((0, self.info.dim), np.float32)], []
        for number, segment in enumerate(self.segments):
            kept = []
            for clip in segment.clips:
                for start, seconds, *has in clip.windows:
                    if has[which]:
                        holds = last[clip.key] == number
                        kept.append(holds)
                        windows += [LiveWindow(clip, start, seconds)] if holds else []
            vectors = segment.read(branch, self.info.dim)
            if len(kept) != len(vectors):
                raise RetrievalError(f"{segment.path}.jsonl: does not fit its vectors; build the index again")
            parts.append(vectors[np.array(kept, bool)])
        return LiveVectors(np.concatenate(parts), windows)


@contextmanager
def only_writer(path: Path, *, make: bool = False) -> Iterator[None]:
    """Hold an index's folder while it is written: of two that add at once, one would lose what the other wrote.

    Args:
        path: the folder.
        make: whether to make it where it does not exist.

    Raises:
        RetrievalError: no folder, none that may be written, or another process is writing it.
    """
    try:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("w")
    except OSError as error:
        if not make and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise _no_index(path) from None
        raise RetrievalError(
            f"{path}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    with lock:
        try:
            # The system releases it when this process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RetrievalError(
                f"{path}: another build, add or remove is writing to it; wait or stop that one"
            ) from None
        remove_leftovers(path)
        yield


def _no_index(path: Path) -> RetrievalError:
    return RetrievalError(f"{path}: not an index (no index.json); make one with `vab index build`")


def _read_info(path: Path) -> IndexInfo:
    file = path / "index.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise RetrievalError(f"{file}: does not describe an index of vab")
        if (version := document.pop("format_version", None)) != FORMAT_VERSION:
            raise RetrievalError(
                f"{file}: format version {version}, this program reads {FORMAT_VERSION}; build it again"
            )
        return IndexInfo(**document)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_index(path) from None
    except (OSError, ValueError, TypeError) as error:
        raise RetrievalError(f"{file}: damaged ({one_line(error)}); build the index again") from error


def _read_segment(lines: Path) -> Segment:
    try:
        head, *documents = read_lines(lines)
        clips = tuple(_clip(document) for document in documents)
        counts = {branch: int(head["counts"][branch]) for branch in BRANCHES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetrievalError(f"{lines}: damaged ({one_line(error)}); build the index again") from error
    return Segment(lines.with_suffix(""), clips, counts, hashlib.sha256(lines.read_bytes()).hexdigest())


def _clip(document: dict[str, Any]) -> ClipRecord:
    windows = tuple((float(w[0]), float(w[1]), bool(w[2]), bool(w[3])) for w in document.pop("windows"))
    return ClipRecord(**{**document, "windows": windows, "stamp": tuple(document["stamp"])})
