"""Ask an index: the clips whose frames or audio are nearest to a query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vab.errors import RetrievalError
from vab.retrieval.backends import open_database
from vab.retrieval.base import BRANCHES, IndexInfo, StoredWindow
from vab.retrieval.options import Branch
from vab.shapes import Float, Tensor


@dataclass(frozen=True)
class Hit:
    """A clip that was found, with the window of it that is nearest."""

    number: int
    """Of the window, in its branch."""
    score: float
    """Cosine similarity."""
    window: StoredWindow


class SearchIndex:
    """An index opened for questions."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            RetrievalError: no index, a damaged one, or one whose build was interrupted.
        """
        self.database = open_database(path)
        self.info: IndexInfo = self.database.info
        self.roots = self.database.roots
        self.num_clips = self.database.num_clips
        self._answers = {branch: self.database.open(branch) for branch in BRANCHES}

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.database.path

    def num_windows(self, branch: Branch) -> int:
        """Windows that can be found in a branch."""
        return len(self._answers[branch])

    def window(self, branch: Branch, number: int) -> StoredWindow | None:
        """A window by its number; None = there is no such."""
        return self._answers[branch].windows([number]).get(number)

    def clip_embeddings(self, branch: Branch, key: str) -> Float[Tensor, "W P"]:
        """The stored embeddings of a clip's windows in a branch.

        Raises:
            RetrievalError: no such clip, or it has no audio or no frames.
        """
        vectors = self.database.vectors(branch, key)
        if not len(vectors):
            raise RetrievalError(f"{key}: no clip of this index with a {branch} embedding")
        return torch.from_numpy(vectors.copy())

    def media_file(self, window: StoredWindow) -> Path:
        """The file of a window's clip.

        Raises:
            RetrievalError: it is not there, or a link or ``..`` leads out of its media root.
        """
        root = self.roots[window.root].resolve()
        file = (root / window.path).resolve()
        if not file.is_relative_to(root):
            raise RetrievalError(f"{window.path}: leads out of the media root {root}")
        if not file.is_file():
            raise RetrievalError(f"{file}: is not there; move it back, or remove it with `vab index remove`")
        return file

    def search(self, query: Float[Tensor, "W P"], branch: Branch, top: int) -> list[Hit]:
        """The ``top`` nearest clips, best first, by the nearest of their windows to any window of the query.

        Args:
            query: embeddings of the query's windows.
            branch: where to look.
            top: how many.

        Raises:
            RetrievalError: a query of another width, or one that is not finite.
        """
        answers = self._answers[branch]
        if query.shape[-1] != self.info.dim or not query.isfinite().all():
            raise RetrievalError(
                f"a query of {query.shape[-1]} numbers; {self.path} takes {self.info.dim}, all finite"
            )
        count, size = top, len(answers)
        while True:
            count = min(count, size)
            if not count:
                return []
            scores, numbers = answers.nearest(query.numpy(), count)
            # What is nearer than the last neighbour of every window of the query is known for certain.
            certain = scores[:, -1].max() if count < size else -np.inf
            order = np.argsort(-scores, axis=None, kind="stable")
            order = order[(numbers.flat[order] >= 0) & (scores.flat[order] >= certain)]
            windows = answers.windows(set(numbers.flat[order].tolist()))
            best: dict[str, Hit] = {}
            for score, number in zip(scores.flat[order].tolist(), numbers.flat[order].tolist(), strict=True):
                if window := windows.get(number):
                    best.setdefault(window.key, Hit(number, score, window))
            if len(best) >= top or count == size:
                return list(best.values())[:top]
            count *= 2
