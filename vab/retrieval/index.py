"""Ask an index: the clips whose frames or audio are nearest to a query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vab.download import sha256_of
from vab.errors import RetrievalError
from vab.retrieval.database import BRANCHES, Database, IndexInfo, StoredWindow
from vab.retrieval.options import Branch
from vab.retrieval.vectors import nearest, open_vectors
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
        self.database = Database(path)
        self.info: IndexInfo = self.database.info
        self.roots = self.database.roots
        self.num_clips = self.database.num_clips
        self._windows = {branch: self.database.windows(branch) for branch in BRANCHES}
        self._answers = {branch: open_answers(self.database, branch) for branch in BRANCHES}
        for branch in BRANCHES:
            if self._answers[branch].ntotal != len(self._windows[branch]):
                raise RetrievalError(
                    f"{path}: damaged, its files do not fit each other; build the index again"
                )

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.database.path

    def num_windows(self, branch: Branch) -> int:
        """Windows that can be found in a branch."""
        return len(self._windows[branch])

    def window(self, branch: Branch, number: int) -> StoredWindow | None:
        """A window by its number; None = there is no such."""
        windows = self._windows[branch]
        return windows[number] if 0 <= number < len(windows) else None

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
        index, windows = self._answers[branch], self._windows[branch]
        if query.shape[-1] != self.info.dim or not query.isfinite().all():
            raise RetrievalError(
                f"a query of {query.shape[-1]} numbers; {self.path} takes {self.info.dim}, all finite"
            )
        count = top
        while True:
            count = min(count, len(windows))
            if not count:
                return []
            scores, rows = nearest(index, query.numpy(), count)
            # What is nearer than the last neighbour of every window of the query is known for certain.
            certain = scores[:, -1].max() if count < len(windows) else -np.inf
            best: dict[str, Hit] = {}
            for place in np.argsort(-scores, axis=None, kind="stable"):
                score, row = scores.flat[place].item(), rows.flat[place].item()
                if len(best) == top or score < certain:
                    break
                if row >= 0:
                    best.setdefault(windows[row].key, Hit(row, score, windows[row]))
            if len(best) == top or count == len(windows):
                return list(best.values())
            count *= 2


def open_answers(database: Database, branch: Branch) -> Any:
    """A branch's FAISS index.

    Raises:
        RetrievalError: it is absent, is not the file that was written, or clips have changed since.
    """
    file, digest = vectors_file(database, branch), database.answers().get(branch)
    remedy = f"`vab index add {database.path}` makes it again"
    if digest is None:
        raise RetrievalError(
            f"{database.path}: its last build, add or remove was interrupted; re-run it to resume, or "
            f"`vab index add {database.path}` to search what is there"
        )
    if not file.is_file():
        raise RetrievalError(f"{file} is missing; {remedy}")
    if sha256_of(file) != digest:
        raise RetrievalError(f"{file} is not the file that was written; {remedy}")
    return open_vectors(file)


def vectors_file(database: Database, branch: Branch) -> Path:
    """The FAISS file of a branch."""
    return database.path / f"{branch}.faiss"
