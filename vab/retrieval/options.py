"""Kinds of vector index, and what keeps them."""

from __future__ import annotations

from typing import Literal

IndexKind = Literal["flat", "hnsw", "ivfpq"]
"""flat: exact inner product. hnsw: a graph, fast and large. ivfpq: cells and short codes, found ones compared again."""

Backend = Literal["faiss", "lancedb"]
"""faiss: SQLite and FAISS, fastest while an index fits into memory. lancedb: read from the disk, searched while it is
added to."""

Branch = Literal["video", "audio"]
"""Which embedding of a clip is looked at: of its frames or of its audio."""
