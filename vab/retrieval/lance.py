"""The one module that knows LanceDB: an index larger than memory, which is added to and searched at the same time.

Four tables: ``roots``, ``clips``, and ``video`` and ``audio`` with a row a window. A clip is written when all of it is
embedded: its windows first, its row in ``clips`` last. Windows that a killed run left without such a row are removed
when the index is next written to. The tables are in the index's folder or in object storage, whose address the folder
then holds.
"""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from vab.errors import RetrievalError, describe
from vab.files import write_atomically
from vab.retrieval.backends import ADDRESS, tables_of
from vab.retrieval.base import (
    BRANCHES,
    Answers,
    ClipDatabase,
    ClipRecord,
    IndexInfo,
    Span,
    StoredWindow,
    root_of,
)
from vab.retrieval.options import Branch

FOLDER = "lance"
SCHEMES = ("s3://", "gs://", "az://")
COMMIT_SECONDS = 5.0
"""Clips of at most so long are lost with a kill."""
INDEX_MINIMUM = 5_000
"""Windows below which exact search is fast anyway."""
NUM_RECALL_QUERIES = 200
PROBES, REFINE_FACTOR = 64, 16
IDS_A_QUERY = 1000
MESSAGE_LENGTH = 600
"""Characters; object storage's errors hold whole pages."""
ABOUT = b"vab"
ROOTS = pa.schema({"id": pa.int64(), "path": pa.string(), "from_index": pa.string()})
CLIPS = pa.schema(
    {"id": pa.int64(), "key": pa.string(), "root": pa.int64(), "path": pa.string(), "stamp": pa.string()}
    | {"error": pa.string()}
)
PLACE = ["key", "root", "path", "start", "seconds"]


class LanceDatabase(ClipDatabase):
    """An index in LanceDB tables."""

    def __init__(self, path: Path) -> None:
        """Open what is there.

        Raises:
            RetrievalError: LanceDB is not installed, or the tables are damaged or cannot be reached.
        """
        self.path = path
        self.tables = tables_of(path) or str(path / FOLDER)
        with _named("read", self.tables):
            connection = _connect(self.tables)
            self._roots, self._clips = (connection.open_table(name) for name in ("roots", "clips"))
            self._windows = {branch: connection.open_table(branch) for branch in BRANCHES}
            self.info = IndexInfo(**json.loads(self._clips.schema.metadata[ABOUT]))
        # Of the clips as this process left them; None = read them before a change.
        self._version: int | None = None
        self._embedding: dict[int, list[tuple[Sequence[Span], dict[Branch, np.ndarray]]]] = {}
        self._ready: list[ClipRecord] = []
        self._replaced: list[int] = []
        self._committed = time.monotonic()

    @classmethod
    def create(cls, path: Path, info: IndexInfo, tables: str | None = None) -> LanceDatabase:
        """A new index without clips; one that is at the address already is opened.

        Args:
            path: its folder.
            info: what it is of.
            tables: address in object storage; None = the folder.

        Raises:
            RetrievalError: LanceDB is not installed, or the address is none, or cannot be reached.
        """
        if tables is not None and not tables.startswith(SCHEMES):
            raise RetrievalError(f"{tables}: is no address of object storage; give {', '.join(SCHEMES)}...")
        place = tables or str(path / FOLDER)
        with _named("written", place):
            connection = _connect(place)
            if "clips" not in (present := connection.list_tables().tables):
                windows = _windows_schema(info.dim)
                for name, schema in {"roots": ROOTS, **dict.fromkeys(BRANCHES, windows)}.items():
                    if name in present:  # a build that was killed here left it
                        connection.drop_table(name)
                    connection.create_table(name, schema=schema)
                # Last: an index is there when its clips are.
                about = CLIPS.with_metadata({ABOUT: json.dumps(asdict(info))})
                connection.create_table("clips", schema=about)
        if tables:
            write_atomically(path / ADDRESS, f"{tables}\n")
        return cls(path)

    @property
    @override
    def roots(self) -> dict[int, Path]:
        rows = self._roots.to_arrow().sort_by("id").to_pylist()
        return {row["id"]: root_of(self.path, row["path"], row["from_index"]) for row in rows}

    @property
    @override
    def clips(self) -> dict[str, ClipRecord]:
        rows = self._clips.to_arrow().sort_by("id").to_pylist()
        return {row["key"]: ClipRecord(**row | {"stamp": tuple(json.loads(row["stamp"]))}) for row in rows}

    @property
    @override
    def num_clips(self) -> int:
        return int(self._clips.count_rows("error IS NULL"))

    @override
    def vectors(self, branch: Branch, key: str | None = None) -> np.ndarray:
        with _named("read", self.tables):
            query = self._windows[branch].search().select(["number", "vector"])
            if key is not None:
                query = query.where(f"key = {_quoted(key)}")
            table = query.to_arrow().sort_by("number")
        vectors = _numbers(table["vector"], self.info.dim)
        if not np.isfinite(vectors).all():
            raise RetrievalError(f"{self.path}: embeddings that are not finite; build the index again")
        return vectors

    @override
    def add_root(self, root: Path) -> int:
        number = int(self._roots.count_rows()) + 1
        from_index = os.path.relpath(root, self.path.absolute())
        with _named("written", self.tables):
            self._roots.add([{"id": number, "path": str(root), "from_index": from_index}])
        return number

    @override
    def start_clip(self, key: str, root: int, path: str, stamp: tuple[int, ...]) -> ClipRecord:
        self._clean_up()
        if (old := self._known.get(key)) is not None:
            if old in self._embedding:
                self.commit()
            self._replaced.append(old)
        clip = ClipRecord(self._next_clip, key, root, path, stamp, resume=0)
        self._next_clip += 1
        self._known[key] = clip.id
        self._embedding[clip.id] = []
        return clip

    @override
    def add_stretch(
        self,
        clip: ClipRecord,
        spans: Sequence[Span],
        vectors: dict[Branch, np.ndarray],
        *,
        resume: int | None,
    ) -> None:
        self._embedding[clip.id].append((spans, vectors))
        if resume is None:
            self._end(replace(clip, resume=None))

    @override
    def fail_clip(self, clip: ClipRecord, error: str) -> None:
        self._embedding[clip.id] = []
        self._end(replace(clip, resume=None, error=error))

    @override
    def remove_clips(self, clips: Sequence[ClipRecord]) -> None:
        self._clean_up()
        self._replaced += [clip.id for clip in clips]

    @override
    def commit(self) -> None:
        if not (self._ready or self._replaced):
            return
        if self._clips.version != self._version:
            raise RetrievalError(f"{self.tables}: another process has written to it; run this again to go on")
        with _named("written", self.tables):
            for branch in BRANCHES:
                if (rows := self._rows(branch)).num_rows:
                    self._windows[branch].add(rows)
            if self._replaced:
                self._delete(self._replaced)
            if self._ready:
                rows = [asdict(clip) | {"stamp": json.dumps(clip.stamp)} for clip in self._ready]
                self._clips.add(pa.Table.from_pylist(rows, schema=self._clips.schema))
            self._version = self._clips.version
        for clip in self._ready:
            del self._embedding[clip.id]
        self._ready, self._replaced = [], []
        self._committed = time.monotonic()

    @override
    def finish(self) -> dict[Branch, float]:
        self.commit()
        recalls: dict[Branch, float] = {}
        kind = self.info.kind
        with _named("written", self.tables):
            for branch, other in zip(BRANCHES, reversed(BRANCHES), strict=True):
                table = self._windows[branch]
                if kind != "flat" and not table.list_indices() and table.count_rows() >= INDEX_MINIMUM:
                    table.create_index("vector", config=self._cells())
                    found = self._windows[other].search().select(["vector"]).limit(NUM_RECALL_QUERIES)
                    if len(queries := _numbers(found.to_arrow()["vector"], self.info.dim)):
                        recalls[branch] = LanceAnswers(table, self.info.dim).recall(queries)
                table.optimize()  # joins small files and brings what is new into the index
            self._clips.optimize()
        self._version = None  # others may write until this process does again
        return recalls

    @override
    def open(self, branch: Branch) -> LanceAnswers:
        return LanceAnswers(self._windows[branch], self.info.dim)

    @override
    def problems(self) -> list[str]:
        problems = []
        known = {clip.id for clip in self.clips.values()}
        for branch in BRANCHES:
            try:
                self.vectors(branch)
                if self._ids(branch) - known:
                    problems.append(
                        f"{self.path}: windows without a clip; `vab index add {self.path}` removes them"
                    )
            except RetrievalError as error:
                problems.append(str(error))
        return problems

    def _cells(self) -> Any:
        """How an index of this kind is to be searched."""
        from lancedb.index import HnswSq, IvfPq

        if self.info.kind == "hnsw":
            return HnswSq(distance_type="dot")
        return IvfPq(distance_type="dot", num_sub_vectors=max(1, self.info.dim // 8))

    def _end(self, clip: ClipRecord) -> None:
        """A clip of which nothing more is to come."""
        self._ready.append(clip)
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def _rows(self, branch: Branch) -> pa.Table:
        """The windows of the clips that are ready, as rows of a branch."""
        which, rows, parts = 2 + BRANCHES.index(branch), [], [np.zeros((0, self.info.dim), np.float32)]
        for clip in self._ready:
            for spans, vectors in self._embedding[clip.id]:
                parts.append(np.ascontiguousarray(vectors[branch], np.float32))
                for span in spans:
                    if span[which]:
                        rows.append((self._next_number, clip.id, clip.key, clip.root, clip.path, *span[:2]))
                        self._next_number += 1
        schema = _windows_schema(self.info.dim)
        columns = list(zip(*rows, strict=True)) if rows else [()] * (len(schema) - 1)
        flat = pa.array(np.concatenate(parts).ravel())
        arrays = [pa.array(column, item.type) for column, item in zip(columns, schema, strict=False)]
        return pa.table([*arrays, pa.FixedSizeListArray.from_arrays(flat, self.info.dim)], schema=schema)

    def _clean_up(self) -> None:
        """Before the first change: remove what a killed run left, and find the numbers that are free."""
        if self._version is not None:
            return
        rows = self._clips.search().select(["key", "id"]).to_arrow()
        self._known = dict(zip(rows["key"].to_pylist(), rows["id"].to_pylist(), strict=True))
        known = set(self._known.values())
        in_use = [self._ids(branch) for branch in BRANCHES]
        if orphans := set().union(*in_use) - known:
            with _named("written", self.tables):
                self._delete(sorted(orphans))
        self._next_clip = max(known | orphans, default=0) + 1
        numbers = [
            self._windows[branch].search().select(["number"]).to_arrow()["number"] for branch in BRANCHES
        ]
        self._next_number = 1 + max((max(each.to_numpy(), default=-1) for each in numbers), default=-1)
        self._version = self._clips.version

    def _ids(self, branch: Branch) -> set[int]:
        return set(self._windows[branch].search().select(["clip"]).to_arrow()["clip"].to_pylist())

    def _delete(self, clips: Sequence[int]) -> None:
        for first in range(0, len(clips), IDS_A_QUERY):
            listed = ", ".join(map(str, clips[first : first + IDS_A_QUERY]))
            for branch in BRANCHES:
                self._windows[branch].delete(f"clip IN ({listed})")
            self._clips.delete(f"id IN ({listed})")


class LanceAnswers(Answers):
    """A table of windows; what another process adds is found as soon as it is written."""

    def __init__(self, table: Any, dim: int) -> None:
        self._table = table
        self._dim = dim

    @override
    def __len__(self) -> int:
        return int(self._table.count_rows())

    @override
    def nearest(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self._nearest(queries, count, is_exact=False)

    @override
    def windows(self, numbers: Collection[int]) -> dict[int, StoredWindow]:
        if not numbers:
            return {}
        listed = ", ".join(map(str, numbers))
        query = self._table.search().where(f"number IN ({listed})").select(["number", *PLACE])
        rows = query.limit(len(numbers)).to_arrow().to_pylist()
        return {row.pop("number"): StoredWindow(**row) for row in rows}

    def recall(self, queries: np.ndarray, count: int = 10) -> float:
        """Share of the exact ``count`` nearest that are found."""
        exact, found = (self._nearest(queries, count, is_exact=is_exact)[1] for is_exact in (True, False))
        return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(exact, found, strict=True)]))

    def _nearest(self, queries: np.ndarray, count: int, *, is_exact: bool) -> tuple[np.ndarray, np.ndarray]:
        scores = np.full((len(queries), count), -np.inf, np.float32)
        numbers = np.full((len(queries), count), -1, np.int64)
        query = self._table.search(list(np.ascontiguousarray(queries, np.float32)), query_type="vector")
        query = query.distance_type("dot").limit(count).select(["number", "_distance"])
        query = (
            query.bypass_vector_index() if is_exact else query.nprobes(PROBES).refine_factor(REFINE_FACTOR)
        )
        table = query.to_arrow()
        rows = (
            table["query_index"].to_numpy()
            if "query_index" in table.column_names
            else np.zeros(len(table), int)
        )
        order = np.lexsort((table["_distance"].to_numpy(), rows))
        firsts = np.searchsorted(rows[order], np.arange(len(queries)))
        places = np.arange(len(order)) - firsts[rows[order]]
        scores[rows[order], places] = 1 - table["_distance"].to_numpy()[order]
        numbers[rows[order], places] = table["number"].to_numpy()[order]
        return scores, numbers


def _connect(tables: str) -> Any:
    os.environ.setdefault("LANCE_LOG", "error")  # its warnings are of its own versions
    try:
        import lancedb
    except ImportError as error:
        raise RetrievalError(f"{tables}: needs LanceDB; pip install 'vab[lancedb]'") from error
    # Every question sees what has been written until then.
    return lancedb.connect(tables, read_consistency_interval=timedelta(0))


@contextmanager
def _named(what: str, tables: str) -> Iterator[None]:
    """LanceDB's own errors as one line."""
    try:
        yield
    except (RuntimeError, ValueError, OSError, KeyError, TypeError) as error:
        reason = textwrap.shorten(describe(error), MESSAGE_LENGTH)
        raise RetrievalError(f"{tables}: cannot be {what} ({reason})") from error


def _windows_schema(dim: int) -> pa.Schema:
    place = {"key": pa.string(), "root": pa.int64(), "path": pa.string()}
    span = {"start": pa.float64(), "seconds": pa.float64()}
    return pa.schema(
        {"number": pa.int64(), "clip": pa.int64(), **place, **span, "vector": pa.list_(pa.float32(), dim)}
    )


def _numbers(column: pa.ChunkedArray, dim: int) -> np.ndarray:
    """A column of vectors as float32 [n, P]."""
    flat = column.combine_chunks().flatten() if len(column) else pa.array([], pa.float32())
    return flat.to_numpy(zero_copy_only=False).reshape(-1, dim)


def _quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
