"""Ask an index: the clips whose pictures or sound are nearest to a query."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vab.errors import RetrievalError
from vab.retrieval.log import BRANCHES, EmbeddingLog, IndexInfo, LiveWindow
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
    key: str
    path: str
    """Relative to the media root."""
    start: float
    """Seconds into the file."""
    seconds: float


class SearchIndex:
    """An index opened for questions."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            RetrievalError: no index, a damaged one, or one whose build was interrupted.
        """
        self.log = EmbeddingLog(path)
        self._live = {branch: self._open(branch) for branch in BRANCHES}

    @property
    def info(self) -> IndexInfo:
        """What all its embeddings have in common."""
        return self.log.info

    @cached_property
    def num_clips(self) -> int:
        """Clips that can be found."""
        return sum(clip.error is None for clip in self.log.clips.values())

    def num_windows(self, branch: Branch) -> int:
        """Windows that can be found in a branch."""
        return len(self._live[branch][1])

    def window(self, branch: Branch, number: int) -> LiveWindow | None:
        """A window by its number; None = there is no such."""
        windows = self._live[branch][1]
        return windows[number] if 0 <= number < len(windows) else None

    def clip_embeddings(self, branch: Branch, key: str) -> Float[Tensor, "W P"]:
        """The stored embeddings of a clip's windows in a branch.

        Raises:
            RetrievalError: no such clip, or it has no sound or no pictures.
        """
        live = self.log.live(branch)
        rows = [row for row, window in enumerate(live.windows) if window.clip.key == key]
        if not rows:
            raise RetrievalError(f"{key}: no clip of this index with a {branch} embedding")
        return torch.from_numpy(live.vectors[rows])

    def media_file(self, path: str) -> Path:
        """The file of a clip.

        Raises:
            RetrievalError: it is not there, or a link or ``..`` leads out of the media root.
        """
        root = self.log.media_root.resolve()
        file = (root / path).resolve()
        if not file.is_relative_to(root):
            raise RetrievalError(f"{path}: leads out of the media root {root}")
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
        index, windows = self._live[branch]
        if query.shape[-1] != self.info.dim or not query.isfinite().all():
            raise RetrievalError(
                f"a query of {query.shape[-1]} numbers; {self.log.path} takes {self.info.dim}, all finite"
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
                    window = windows[row]
                    hit = Hit(row, score, window.clip.key, window.clip.path, window.start, window.seconds)
                    best.setdefault(window.clip.key, hit)
            if len(best) == top or count == len(windows):
                return list(best.values())
            count *= 2

    def _open(self, branch: Branch) -> tuple[Any, list[LiveWindow]]:
        windows = self.log.live(branch).windows
        file = vectors_file(self.log, branch)
        if not file.exists():
            raise RetrievalError(
                f"{self.log.path}: its last build, add or remove was interrupted; "
                f"`vab index add {self.log.path}` completes it"
            )
        return open_vectors(file, num_vectors=len(windows), dim=self.info.dim), windows


def vectors_file(log: EmbeddingLog, branch: Branch) -> Path:
    """The FAISS file that goes with all segments of an index as they are now."""
    return log.path / f"{branch}-{log.digest}.faiss"
