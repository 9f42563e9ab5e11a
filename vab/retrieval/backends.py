"""Which backend keeps an index, and where: told from the files of its folder."""

from __future__ import annotations

from pathlib import Path

from vab.errors import RetrievalError
from vab.retrieval.base import ClipDatabase, IndexInfo
from vab.retrieval.database import FILE, Database
from vab.retrieval.options import Backend

ADDRESS = "tables.txt"
"""File with the address of LanceDB's tables, where they are not in the folder."""


def backend_of(path: Path) -> Backend | None:
    """What keeps the index in a folder; None = there is none."""
    if (path / "lance" / "clips.lance").is_dir() or (path / ADDRESS).is_file():
        return "lancedb"
    return "faiss" if (path / FILE).exists() or (path / "index.json").exists() else None


def tables_of(path: Path) -> str | None:
    """Address of the tables of the index in a folder; None = they are in the folder, or there are none."""
    file = path / ADDRESS
    return file.read_text().strip() if file.is_file() else None


def create_database(
    path: Path, info: IndexInfo, backend: Backend, *, tables: str | None = None
) -> ClipDatabase:
    """A new index without clips; where ``tables`` hold one already, that one.

    Args:
        path: its folder.
        info: what it is of.
        backend: what keeps it.
        tables: address in object storage of LanceDB's tables; None = the folder.

    Raises:
        RetrievalError: the disk is full, writing is not allowed, the backend is not installed, or has no tables.
    """
    if backend == "faiss":
        if tables:
            raise RetrievalError(f"{tables}: FAISS keeps an index in its folder; choose --backend lancedb")
        return Database.create(path, info)
    from vab.retrieval.lance import LanceDatabase

    return LanceDatabase.create(path, info, tables)


def open_database(path: Path) -> ClipDatabase:
    """The index in a folder.

    Raises:
        RetrievalError: no index, one of another format, a damaged one, or the backend is not installed.
    """
    if backend_of(path) != "lancedb":
        return Database(path)
    from vab.retrieval.lance import LanceDatabase

    return LanceDatabase(path)
