"""What FAISS answers from: for each branch a file of vectors and one that says which window each of them is."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from vab.download import sha256_of
from vab.errors import RetrievalError
from vab.files import complete_file
from vab.retrieval.base import Answers, StoredWindow
from vab.retrieval.options import Branch
from vab.retrieval.vectors import build_vectors, nearest, open_vectors, recall_of, write_vectors

if TYPE_CHECKING:
    from vab.retrieval.database import Database

NUM_RECALL_QUERIES = 200
WINDOW = np.dtype([("clip", np.int64), ("start", np.float64), ("seconds", np.float64)])
NUM_BLOCKS, BLOCK = 64, 4096


class FaissAnswers(Answers):
    """The two files of a branch, memory-mapped."""

    def __init__(self, database: Database, branch: Branch, *, is_thorough: bool = False) -> None:
        """Open them.

        Args:
            database: of the index.
            branch: which.
            is_thorough: read the files through; else a sample of each tells them from other files.

        Raises:
            RetrievalError: absent, not those that were written, or clips have changed since.
        """
        self.database = database
        vectors, windows = _files(database, branch)
        digests = database.digests()
        for file in (vectors, windows):
            _check(database, file, digests.get(file.name, "").split(), is_thorough)
        self._vectors: Any = open_vectors(vectors)
        self._windows = np.load(windows, mmap_mode="r", allow_pickle=False)
        if self._vectors.ntotal != len(self._windows):
            raise RetrievalError(
                f"{database.path}: damaged, its files do not fit each other; build the index again"
            )

    @override
    def __len__(self) -> int:
        return len(self._windows)

    @override
    def nearest(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        return nearest(self._vectors, queries, count)

    @override
    def windows(self, numbers: Collection[int]) -> dict[int, StoredWindow]:
        found = {number: self._windows[number].item() for number in numbers if 0 <= number < len(self)}
        files = self.database.files({clip for clip, _, _ in found.values()})
        return {
            number: StoredWindow(*files[clip], start, seconds)
            for number, (clip, start, seconds) in found.items()
        }


def write_answers(database: Database) -> dict[Branch, float]:
    """Write the files of each branch where they are damaged or not those of all clips; see ``ClipDatabase.finish``.

    Raises:
        RetrievalError: embeddings are damaged.
    """
    recalls: dict[Branch, float] = {}
    branches: tuple[tuple[Branch, Branch], ...] = (("video", "audio"), ("audio", "video"))
    for branch, other in branches:
        try:
            FaissAnswers(database, branch, is_thorough=True)
        except RetrievalError:
            file, windows = _files(database, branch)
            vectors = database.vectors(branch)
            index = build_vectors(vectors, database.info.kind if len(vectors) else "flat")
            write_vectors(index, file)
            with complete_file(windows) as partial:
                np.save(partial, np.fromiter(database.windows_by_id(branch), WINDOW))
            for written in (file, windows):
                database.set_digest(written.name, f"{sha256_of(written)} {_sample_of(written)}")
            if database.info.kind != "flat" and len(vectors):
                queries = database.vectors(other)[:NUM_RECALL_QUERIES]
                recalls |= {branch: recall_of(index, vectors, queries)} if len(queries) else {}
    database.commit()
    return recalls


def _files(database: Database, branch: Branch) -> tuple[Path, Path]:
    return database.path / f"{branch}.faiss", database.path / f"{branch}.windows.npy"


def _check(database: Database, file: Path, digests: list[str], is_thorough: bool) -> None:
    remedy = f"`vab index add {database.path}` makes it again"
    if len(digests) != 2:
        raise RetrievalError(
            f"{database.path}: its last build, add or remove was interrupted; re-run it to resume, or "
            f"`vab index add {database.path}` to search what is there"
        )
    if not file.is_file():
        raise RetrievalError(f"{file} is missing; {remedy}")
    if _sample_of(file) != digests[1] or (is_thorough and sha256_of(file) != digests[0]):
        raise RetrievalError(f"{file} is not the file that was written; {remedy}")


def _sample_of(path: Path) -> str:
    """A digest of a file's size and of some blocks of it: the same time for any size."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in np.linspace(0, max(0, size - BLOCK), NUM_BLOCKS, dtype=np.int64).tolist():
            file.seek(start)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()
