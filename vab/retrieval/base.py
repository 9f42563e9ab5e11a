"""What an index is made of, wherever it is kept: clips with their embeddings, and what is searched."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vab.retrieval.options import Branch, IndexKind

BRANCHES: tuple[Branch, Branch] = ("video", "audio")


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


@dataclass(frozen=True)
class ClipRecord:
    """One clip of an index: a file, or a stored clip of one."""

    id: int
    key: str
    """Unique in the index: the path of a file, the id of a stored clip."""
    root: int
    """Number of the media root that the path starts from."""
    path: str
    stamp: tuple[int, ...]
    """Size and time of change of a file, by which a changed one is noticed."""
    resume: int | None = None
    """Point of the time grid where embedding goes on; None = complete."""
    error: str | None = None
    """Why there are no embeddings."""


@dataclass(frozen=True)
class StoredWindow:
    """A window of a clip that has an embedding."""

    key: str
    root: int
    path: str
    start: float
    """Seconds into the file."""
    seconds: float


Span = tuple[float, float, bool, bool]
"""Start and length in seconds of a window, and whether it has a video and an audio embedding."""


def root_of(index: Path, path: str, from_index: str) -> Path:
    """A media root: beside the index if both were moved together, else where it was."""
    moved = Path(os.path.normpath(index.absolute() / from_index))
    return moved if moved.is_dir() else Path(path)


class Answers(ABC):
    """A branch of an index, opened for questions; its windows have numbers."""

    @abstractmethod
    def __len__(self) -> int:
        """How many windows."""

    @abstractmethod
    def nearest(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 [Q, count] and numbers int64 [Q, count], best first; -1 where there is no more.

        Args:
            queries: float32 [Q, P].
            count: how many; fewer are given where there are fewer windows.
        """

    @abstractmethod
    def windows(self, numbers: Collection[int]) -> dict[int, StoredWindow]:
        """Windows by their numbers; those that are not there are left out."""


class ClipDatabase(ABC):
    """The clips of an index with their embeddings, and what is searched."""

    path: Path
    info: IndexInfo

    @property
    @abstractmethod
    def roots(self) -> dict[int, Path]:
        """Folders that paths start from."""

    @property
    @abstractmethod
    def clips(self) -> dict[str, ClipRecord]:
        """By key: those that are complete, those in the middle, those that failed."""

    @property
    @abstractmethod
    def num_clips(self) -> int:
        """Clips that can be found."""

    @abstractmethod
    def vectors(self, branch: Branch, key: str | None = None) -> np.ndarray:
        """Embeddings float32 [n, P] of all windows, or of one clip's.

        Raises:
            RetrievalError: they are not what was written.
        """

    @abstractmethod
    def add_root(self, root: Path) -> int:
        """A further media root; returns its number."""

    @abstractmethod
    def start_clip(self, key: str, root: int, path: str, stamp: tuple[int, ...]) -> ClipRecord:
        """A clip without embeddings, in place of what was there under this key."""

    @abstractmethod
    def add_stretch(
        self,
        clip: ClipRecord,
        spans: Sequence[Span],
        vectors: dict[Branch, np.ndarray],
        *,
        resume: int | None,
    ) -> None:
        """Windows of a clip with their embeddings, and where it goes on; None = that was all."""

    @abstractmethod
    def fail_clip(self, clip: ClipRecord, error: str) -> None:
        """A clip that cannot be embedded, and why."""

    @abstractmethod
    def remove_clips(self, clips: Sequence[ClipRecord]) -> None:
        """Take clips out."""

    @abstractmethod
    def commit(self) -> None:
        """Write to the disk what has been added since the last time.

        Raises:
            RetrievalError: the disk is full.
        """

    @abstractmethod
    def finish(self) -> dict[Branch, float]:
        """Make what is searched fit the clips.

        Returns:
            For an index that is not exact, recall@10 of each branch made against exact search, the queries being the
            other branch's embeddings.

        Raises:
            RetrievalError: embeddings are damaged.
        """

    @abstractmethod
    def open(self, branch: Branch) -> Answers:
        """A branch for questions; how long this takes does not depend on the number of clips.

        Raises:
            RetrievalError: what is searched is absent, damaged, or does not fit the clips.
        """

    @abstractmethod
    def problems(self) -> list[str]:
        """One line for each thing that is wrong with what is stored; all of it is read."""
