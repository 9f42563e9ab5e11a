"""Embeddings on disk: one SQLite file an index, every write a transaction, so a kill at any moment harms nothing.

A clip is embedded in stretches of windows. Each is written as soon as it is done; ``clips.resume`` says where a long
clip goes on. ``answers`` holds the digests of the files that are searched; any change to the clips empties it, so
that files of an earlier state never are.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from vab.checkpoint import one_line
from vab.errors import RetrievalError
from vab.files import complete_file, remove_leftovers
from vab.retrieval.answers import FaissAnswers, write_answers
from vab.retrieval.base import BRANCHES, ClipDatabase, ClipRecord, IndexInfo, Span, root_of
from vab.retrieval.options import Branch

FILE = "index.sqlite"
FORMAT_VERSION = 2
COMMIT_SECONDS = 2.0
"""Embeddings of at most so long are lost with a kill."""
TABLES = """
CREATE TABLE about (version INTEGER, info TEXT);
CREATE TABLE roots (id INTEGER PRIMARY KEY, path TEXT, from_index TEXT);
CREATE TABLE clips (id INTEGER PRIMARY KEY, key TEXT UNIQUE, root INTEGER, path TEXT, stamp TEXT, resume INTEGER,
                    error TEXT);
CREATE TABLE stretches (id INTEGER PRIMARY KEY, clip INTEGER REFERENCES clips ON DELETE CASCADE, windows TEXT,
                        checksum INTEGER);
CREATE TABLE vectors (stretch INTEGER PRIMARY KEY REFERENCES stretches ON DELETE CASCADE, video BLOB, audio BLOB);
CREATE TABLE answers (branch TEXT PRIMARY KEY, sha256 TEXT);
CREATE INDEX stretches_of_clip ON stretches (clip);
"""


class Database(ClipDatabase):
    """An index in SQLite, searched by FAISS."""

    def __init__(self, path: Path) -> None:
        """Open what is there.

        Raises:
            RetrievalError: no index, one of another format, or a damaged one.
        """
        self.path = path
        if not (path / FILE).is_file():
            if (path / "index.json").is_file():
                raise RetrievalError(f"{path}: an index of an earlier version; delete it and build it again")
            raise RetrievalError(f"{path}: not an index (no {FILE}); make one with `vab index build`")
        self._connection = sqlite3.connect(
            path / FILE, timeout=10, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA foreign_keys = ON")
        [(version, info)] = self.rows("SELECT version, info FROM about", expected=1)
        if version != FORMAT_VERSION:
            raise RetrievalError(
                f"{path}: format version {version}, this program reads {FORMAT_VERSION}; build it again"
            )
        self.info = IndexInfo(**json.loads(info))
        self._committed = time.monotonic()

    @classmethod
    def create(cls, path: Path, info: IndexInfo) -> Database:
        """A new index without clips.

        Raises:
            RetrievalError: the disk is full, or writing is not allowed.
        """
        about = FORMAT_VERSION, json.dumps(asdict(info))
        try:
            with complete_file(path / FILE) as partial, closing(sqlite3.connect(partial)) as connection:
                connection.executescript(TABLES)
                connection.execute("INSERT INTO about VALUES (?, ?)", about)
                connection.commit()
        except sqlite3.Error as error:
            raise RetrievalError(f"{path / FILE}: cannot be written ({one_line(error)})") from error
        return cls(path)

    def rows(self, query: str, values: Sequence[Any] = (), *, expected: int | None = None) -> list[Any]:
        """All rows of a query.

        Raises:
            RetrievalError: the file is damaged, or there are not as many rows as expected.
        """
        try:
            found = self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise RetrievalError(
                f"{self.path / FILE}: cannot be read ({one_line(error)}); build the index again"
            ) from error
        if expected is not None and len(found) != expected:
            raise RetrievalError(f"{self.path / FILE}: damaged; build the index again")
        return found

    @property
    @override
    def roots(self) -> dict[int, Path]:
        rows = self.rows("SELECT id, path, from_index FROM roots ORDER BY id")
        return {number: root_of(self.path, path, from_index) for number, path, from_index in rows}

    @property
    @override
    def clips(self) -> dict[str, ClipRecord]:
        query = "SELECT id, key, root, path, stamp, resume, error FROM clips ORDER BY id"
        return {
            key: ClipRecord(id_, key, root, path, tuple(json.loads(stamp)), resume, error)
            for id_, key, root, path, stamp, resume, error in self.rows(query)
        }

    @property
    @override
    def num_clips(self) -> int:
        query = "SELECT count(*) FROM clips WHERE resume IS NULL AND error IS NULL"
        return int(self.rows(query)[0][0])

    def windows_by_id(self, branch: Branch) -> Iterator[tuple[int, float, float]]:
        """Clip, start and length of each window with an embedding in a branch, in the order of their vectors."""
        has = 2 + BRANCHES.index(branch)
        query = """SELECT clip, windows FROM clips JOIN stretches ON clip = clips.id
                   WHERE resume IS NULL ORDER BY clips.id, stretches.id"""
        for clip, spans in self.rows(query):
            for span in json.loads(spans):
                if span[has]:
                    yield clip, span[0], span[1]

    def files(self, clips: Collection[int]) -> dict[int, tuple[str, int, str]]:
        """Key, root and path of some clips by id."""
        query = "SELECT key, root, path FROM clips WHERE id = ?"
        return {clip: self.rows(query, [clip], expected=1)[0] for clip in clips}

    @override
    def vectors(self, branch: Branch, key: str | None = None) -> np.ndarray:
        which = BRANCHES.index(branch)
        query = f"""SELECT key, windows, checksum, video, audio FROM clips JOIN stretches ON clip = clips.id
                    JOIN vectors ON stretch = stretches.id WHERE resume IS NULL {"AND key = ?" if key else ""}
                    ORDER BY clips.id, stretches.id"""
        parts = []
        for name, spans, checksum, *blobs in self.rows(query, [key] if key else []):
            if _checksum(name, spans, *blobs) != checksum:
                raise RetrievalError(
                    f"{self.path / FILE}: the embeddings of {name} are not those that were written; "
                    f"take it out with `vab index remove` and add it again"
                )
            parts.append(blobs[which])
        vectors = np.frombuffer(b"".join(parts), np.float32).reshape(-1, self.info.dim)
        if not np.isfinite(vectors).all():
            raise RetrievalError(f"{self.path / FILE}: embeddings that are not finite; build the index again")
        return vectors

    @override
    def add_root(self, root: Path) -> int:
        from_index = os.path.relpath(root, self.path.absolute())
        with self._change() as run:
            return int(
                run("INSERT INTO roots (path, from_index) VALUES (?, ?)", [str(root), from_index]).lastrowid
            )

    @override
    def start_clip(self, key: str, root: int, path: str, stamp: tuple[int, ...]) -> ClipRecord:
        with self._change() as run:
            run("DELETE FROM clips WHERE key = ?", [key])
            query = "INSERT INTO clips (key, root, path, stamp, resume) VALUES (?, ?, ?, ?, 0)"
            number = run(query, [key, root, path, json.dumps(stamp)]).lastrowid
        return ClipRecord(number, key, root, path, stamp, resume=0)

    @override
    def add_stretch(
        self,
        clip: ClipRecord,
        spans: Sequence[Span],
        vectors: dict[Branch, np.ndarray],
        *,
        resume: int | None,
    ) -> None:
        windows = json.dumps(spans)
        blobs = [np.ascontiguousarray(vectors[branch], np.float32).tobytes() for branch in BRANCHES]
        with self._change() as run:
            query = "INSERT INTO stretches (clip, windows, checksum) VALUES (?, ?, ?)"
            number = run(query, [clip.id, windows, _checksum(clip.key, windows, *blobs)]).lastrowid
            run("INSERT INTO vectors VALUES (?, ?, ?)", [number, *blobs])
            run("UPDATE clips SET resume = ? WHERE id = ?", [resume, clip.id])

    @override
    def fail_clip(self, clip: ClipRecord, error: str) -> None:
        with self._change() as run:
            run("DELETE FROM stretches WHERE clip = ?", [clip.id])
            run("UPDATE clips SET resume = NULL, error = ? WHERE id = ?", [error, clip.id])

    @override
    def remove_clips(self, clips: Sequence[ClipRecord]) -> None:
        with self._change() as run:
            for clip in clips:
                run("DELETE FROM clips WHERE id = ?", [clip.id])

    def digests(self) -> dict[str, str]:
        """Digests of the files that are searched, by name; none where clips have changed since."""
        return dict(self.rows("SELECT branch, sha256 FROM answers"))

    def set_digest(self, name: str, digests: str) -> None:
        """Say that a file that is searched holds the clips as they are."""
        with self._change(is_of_clips=False) as run:
            run("INSERT OR REPLACE INTO answers VALUES (?, ?)", [name, digests])

    @override
    def commit(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise RetrievalError(f"{self.path / FILE}: cannot be written ({one_line(error)})") from error
        self._committed = time.monotonic()

    @override
    def finish(self) -> dict[Branch, float]:
        return write_answers(self)

    @override
    def open(self, branch: Branch) -> FaissAnswers:
        return FaissAnswers(self, branch)

    @override
    def problems(self) -> list[str]:
        found = self.rows("PRAGMA integrity_check(1)")
        problems = [] if found == [("ok",)] else [f"{self.path / FILE}: {one_line(ValueError(found[0][0]))}"]
        for branch in BRANCHES:
            try:
                if len(self.vectors(branch)) != len(FaissAnswers(self, branch, is_thorough=True)):
                    raise RetrievalError(
                        f"{self.path}: windows and {branch} embeddings differ in number; build it again"
                    )
            except (RetrievalError, ValueError) as error:
                problems.append(str(error))
        return problems

    @contextmanager
    def _change(self, *, is_of_clips: bool = True) -> Iterator[Any]:
        """A change that is made whole or not at all, even where Ctrl-C falls into it."""
        run = self._connection.execute
        try:
            if not self._connection.in_transaction:
                run("BEGIN")
            run("SAVEPOINT change")
            try:
                yield run
                if is_of_clips:
                    run("DELETE FROM answers")
            except BaseException:
                run("ROLLBACK TO change")
                raise
            finally:
                run("RELEASE change")
            if time.monotonic() - self._committed > COMMIT_SECONDS:
                self.commit()
        except sqlite3.Error as error:
            raise RetrievalError(f"{self.path / FILE}: cannot be written ({one_line(error)})") from error


@contextmanager
def only_writer(path: Path, *, make: bool = False) -> Iterator[None]:
    """Hold an index's folder while it is written, so that two do not embed the same clips.

    Args:
        path: the folder.
        make: whether to make it where it does not exist.

    Raises:
        RetrievalError: no folder, none that may be written, or another process is writing it.
    """
    try:
        if make:
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetrievalError(
            f"{path}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    if not path.is_dir():
        raise RetrievalError(f"{path}: not an index; make one with `vab index build`")
    try:
        # SQLite's own lock, which the system releases when this process ends, however it ends.
        lock = sqlite3.connect(path / ".lock", timeout=0, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            reason = "another build, add or remove is writing to it; wait or stop that one"
        else:
            reason = f"cannot be written ({error}); choose another folder"
        raise RetrievalError(f"{path}: {reason}") from None
    try:
        remove_leftovers(path)
        yield
    finally:
        lock.close()


def _checksum(key: str, windows: str, video: bytes, audio: bytes) -> int:
    """What changes where embeddings do, or stand under another clip."""
    return zlib.crc32(audio, zlib.crc32(video, zlib.crc32(f"{key}\n{windows}".encode())))
