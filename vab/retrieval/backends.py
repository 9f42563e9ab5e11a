"""Which backend keeps an index: told from the files of its folder."""

from __future__ import annotations

from pathlib import Path

from vab.retrieval.base import ClipDatabase, IndexInfo
from vab.retrieval.database import FILE, Database
from vab.retrieval.options import Backend


def backend_of(path: Path) -> Backend | None:
    """What keeps the index in a folder; None = there is none."""
    if (path / "lance" / "clips.lance").is_dir():
        return "lancedb"
    return "faiss" if (path / FILE).exists() or (path / "index.json").exists() else None


def create_database(path: Path, info: IndexInfo, backend: Backend) -> ClipDatabase:
    """A new index without clips.

    Raises:
        RetrievalError: the disk is full, writing is not allowed, or the backend is not installed.
    """
    if backend == "faiss":
        return Database.create(path, info)
    from vab.retrieval.lance import LanceDatabase

    return LanceDatabase.create(path, info)


def open_database(path: Path) -> ClipDatabase:
    """The index in a folder.

    Raises:
        RetrievalError: no index, one of another format, a damaged one, or the backend is not installed.
    """
    if backend_of(path) != "lancedb":
        return Database(path)
    from vab.retrieval.lance import LanceDatabase

    return LanceDatabase(path)
