"""Indexes opened for questions together with their model: search by video, by audio or by text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vab.errors import RetrievalError
from vab.pipeline import Pipeline, load
from vab.retrieval.base import ClipDatabase
from vab.retrieval.building import check_model
from vab.retrieval.index import Hit, SearchIndex
from vab.retrieval.options import Branch
from vab.shapes import Float, Tensor

Modality = Literal["video", "audio", "text"]
OTHER: dict[Modality, Branch] = {"video": "audio", "audio": "video", "text": "video"}
"""Where a query of each modality looks unless told."""


@dataclass(frozen=True)
class Row:
    """A clip that was found."""

    rank: int
    score: float
    """Cosine similarity of its nearest window to the query."""
    id: str
    """Of the clip, in its index."""
    file: str
    """Relative to the media root; the whole path where there are several roots or indexes."""
    start: float
    """Seconds into the file at which the window begins."""
    seconds: float
    """Length of the window."""
    index: int
    """Which of the indexes it is in, from 0."""
    number: int
    """Of the window, in its branch of that index."""


class Index:
    """One or several indexes of one model, with that model."""

    def __init__(self, *paths: str | Path, weights: str | Path | None = None, device: str = "auto") -> None:
        """Open folders that ``vab index build`` wrote, and the model they were built with.

        Args:
            paths: one folder or several.
            weights: where the model is, if it has been moved.
            device: ``auto``, ``cpu`` or ``cuda``.

        Raises:
            RetrievalError: no index, a damaged or interrupted one, or indexes of several models.
            WeightsError: the model is not where it was.
        """
        if not paths:
            raise RetrievalError("no index given; name the folder of one")
        self.parts = [SearchIndex(Path(path)) for path in paths]
        self.pipeline = load_for(self.parts[0].database, weights, device)
        for part in self.parts:
            check_model(part.database, self.pipeline)

    @property
    def num_clips(self) -> int:
        """Clips that can be found."""
        return sum(part.num_clips for part in self.parts)

    def search(
        self,
        *,
        video: str | Path | None = None,
        audio: str | Path | None = None,
        text: str | None = None,
        in_: Branch | None = None,
        top: int = 10,
    ) -> list[Row]:
        """The nearest clips to a file's frames, to a file's audio or to a text, best first.

        Args:
            video: a file whose frames to search by.
            audio: a file whose audio to search by.
            text: what can be seen in one frame.
            in_: ``video`` or ``audio``: where to look; by default the other of the query's, for a text ``video``.
            top: how many clips.

        Raises:
            ValueError: not exactly one query, or ``top`` below 1.
            VABError: the file cannot be read or lacks that modality.
        """
        modality, query = one_query(video, audio, text)
        return self.nearest(self.embed(modality, query), in_ or OTHER[modality], top)

    def embed(self, modality: Modality, query: str | Path) -> Float[Tensor, "W P"]:
        """Embeddings of a file's frames or audio in windows, or of a text.

        Raises:
            VABError: the file cannot be read or lacks that modality.
        """
        if modality == "text":
            return self.pipeline.embed_text(str(query))[None]
        return (
            self.pipeline.video_windows(query) if modality == "video" else self.pipeline.audio_windows(query)
        )

    def nearest(self, query: Float[Tensor, "W P"], branch: Branch, top: int) -> list[Row]:
        """The nearest clips of all indexes to any window of a query."""
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        hits = [
            (number, hit) for number, part in enumerate(self.parts) for hit in part.search(query, branch, top)
        ]
        hits.sort(key=lambda found: -found[1].score)
        return [self._row(rank, number, hit) for rank, (number, hit) in enumerate(hits[:top], 1)]

    def media_file(self, row: Row, branch: Branch) -> Path:
        """The file of a clip that was found in a branch.

        Raises:
            RetrievalError: it is not there, or lies outside its media root.
        """
        part = self.parts[row.index]
        window = part.window(branch, row.number)
        assert window is not None
        return part.media_file(window)

    def _row(self, rank: int, number: int, hit: Hit) -> Row:
        window, roots = hit.window, self.parts[number].roots
        has_several = len(self.parts) > 1 or len(roots) > 1
        file = str(roots[window.root] / window.path) if has_several else window.path
        return Row(
            rank, round(hit.score, 6), window.key, file, window.start, window.seconds, number, hit.number
        )


def one_query(
    video: str | Path | None, audio: str | Path | None, text: str | None
) -> tuple[Modality, str | Path]:
    """The one that is given, and what it is.

    Raises:
        ValueError: none or several are.
    """
    given: dict[Modality, str | Path | None] = {"video": video, "audio": audio, "text": text}
    queries = [(modality, query) for modality, query in given.items() if query is not None]
    if len(queries) != 1:
        raise ValueError("give one of video, audio and text to search by")
    return queries[0]


def load_for(database: ClipDatabase, weights: str | Path | None, device: str) -> Pipeline:
    """The model of an index.

    Raises:
        RetrievalError: other weights than it was built with.
        WeightsError: they are not where they were.
    """
    pipeline = load(weights or database.info.model, device=device)
    check_model(database, pipeline)
    return pipeline
