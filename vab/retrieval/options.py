"""Kinds of vector index."""

from __future__ import annotations

from typing import Literal

IndexKind = Literal["flat", "hnsw", "ivfpq"]
"""flat: exact inner product. hnsw: a graph, fast and large. ivfpq: cells and short codes, found ones compared again."""

Branch = Literal["video", "audio"]
"""Which embedding of a clip is looked at: of its frames or of its audio."""
