"""An index with its model, ready for questions: what search and the web page share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vab
from vab.errors import RetrievalError
from vab.pipeline import Pipeline
from vab.retrieval.building import check_model
from vab.retrieval.database import Database
from vab.retrieval.index import Hit, SearchIndex
from vab.retrieval.options import Branch
from vab.shapes import Float, Tensor

BRANCH_OF: dict[str, Branch] = {"video": "visual", "audio": "audio"}
OTHER = {"video": "audio", "audio": "video", "text": "video"}
"""Where a query of each modality looks unless told."""


def load_for(database: Database, weights: str | None, device: str) -> Pipeline:
    """The model of an index.

    Raises:
        RetrievalError: other weights than it was built with.
        WeightsError: they are not where they were.
    """
    pipeline = vab.load(weights or database.info.model, device=device)
    check_model(database, pipeline)
    return pipeline


def the_one(paths: list[Path]) -> Path:
    """The only one.

    Raises:
        RetrievalError: there are several.
    """
    if len(paths) != 1:
        raise RetrievalError(f"one index, please, not {len(paths)}: {', '.join(map(str, paths))}")
    return paths[0]


@dataclass(frozen=True)
class Searcher:
    """An index and its model."""

    index: SearchIndex
    pipeline: Pipeline

    @classmethod
    def open(cls, path: Path, weights: str | None, device: str) -> Searcher:
        """Open both; see ``SearchIndex`` and ``load_for`` for what can be wrong."""
        index = SearchIndex(path)
        return cls(index, load_for(index.database, weights, device))

    def embed(self, modality: str, what: str | Path) -> Float[Tensor, "W P"]:
        """The embeddings of a file's pictures or sound in windows, or of words.

        Raises:
            VABError: the file cannot be read or lacks that modality.
        """
        if modality == "text":
            return self.pipeline.embed_text(str(what))[None]
        return self.pipeline.video_windows(what) if modality == "video" else self.pipeline.audio_windows(what)

    def search(self, query: Float[Tensor, "W P"], where: str, top: int) -> list[Hit]:
        """The nearest clips by their pictures (``video``) or their sound (``audio``)."""
        return self.index.search(query, BRANCH_OF[where], top)


def as_document(hit: Hit, rank: int) -> dict[str, Any]:
    """A hit for JSON."""
    return {
        "rank": rank,
        "score": round(hit.score, 6),
        "id": hit.window.key,
        "file": hit.window.path,
        "start": hit.window.start,
        "seconds": hit.window.seconds,
    }
