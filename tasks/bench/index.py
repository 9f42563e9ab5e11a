"""``vab bench index``: recall and speed of backends and kinds of index, at several sizes, beside matrix products."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tasks.bench.model import processor
from tasks.bench.options import BenchIndexOptions
from tasks.console import console, numbers_table, track
from tasks.options import command_line
from tasks.record import INDEX_COLUMNS, conditions, write_record
from vab.files import check_outputs
from vab.retrieval.backends import create_database
from vab.retrieval.base import ClipDatabase, IndexInfo
from vab.retrieval.index import SearchIndex
from vab.retrieval.options import Backend, Branch, IndexKind

SHEET_DIMENSIONS = 24
NOISE = 0.02
NUM_SINGLE_QUERIES = 50
TOP = 10
NUM_CALLS = 3

Result = TypeVar("Result")


def run(options: BenchIndexOptions) -> int:
    """Print a table, write JSON if asked."""
    if options.output:
        check_outputs([options.output])
    chosen = [(backend, kind) for backend in options.backends for kind in options.kinds]
    measurements = (
        _measure(*vectors, backend, kind)
        for vectors in (make_vectors(size, options) for size in options.sizes)
        for backend, kind in chosen
    )
    total = len(options.sizes) * len(chosen)
    rows = list(track(measurements, "measuring", total=total, unit="indexes"))
    _show(rows, f"{options.dim} numbers a vector, {options.num_queries} queries, {processor('cpu')}")
    if options.output:
        measured = conditions(
            clips=f"random vectors of {options.dim} numbers, {options.num_queries} queries",
            num_clips=sum(options.sizes),
            seed=options.seed,
            device=processor("cpu"),
            command=command_line("bench index", options),
        )
        write_record(options.output, "index", {"rows": rows}, measured)
    return 0


def make_vectors(size: int, options: BenchIndexOptions) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [size, dim] and queries float32 [num_queries, dim], of unit norm."""
    generator = np.random.default_rng(options.seed)
    fold = generator.standard_normal((SHEET_DIMENSIONS, options.dim), np.float32)
    shift = generator.standard_normal(options.dim, np.float32)

    def points(count: int) -> np.ndarray:
        inside = generator.standard_normal((count, SHEET_DIMENSIONS), np.float32) / SHEET_DIMENSIONS**0.5
        made = np.sin(2 * (inside @ fold) + shift)
        made += NOISE * generator.standard_normal(made.shape, np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made

    return points(size), points(options.num_queries)


def _measure(vectors: np.ndarray, queries: np.ndarray, backend: Backend, kind: IndexKind) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        database = create_database(path, IndexInfo("", "", vectors.shape[1], kind), backend)
        _, add_seconds = _timed(lambda: _add(database, vectors))
        _, build_seconds = _timed(database.finish)
        index, open_seconds = _timed(lambda: SearchIndex(path))
        answers = index.database.open("video")
        answers.nearest(queries[:1], TOP)  # brings the files into memory
        products, product = _median_of(lambda: queries @ vectors.T)
        (_, found), together = _median_of(lambda: answers.nearest(queries, TOP))
        singles = queries[:NUM_SINGLE_QUERIES, None]
        _, read = _median_of(lambda: [vectors @ query[0] for query in singles])
        _, alone = _median_of(lambda: [answers.nearest(query, TOP) for query in singles])
        windows = answers.windows(set(found.ravel().tolist()))
        exact = np.argpartition(-products, TOP, axis=1)[:, :TOP]
        recall = np.mean(
            [
                len({int(windows[number].key) for number in row.tolist()} & set(wanted.tolist())) / TOP
                for row, wanted in zip(found, exact, strict=True)
            ]
        )
        return {
            "size": len(vectors),  # clips, of one window each
            "backend": backend,
            "kind": kind,
            "add_seconds": add_seconds,  # writing all embeddings, a clip at a time
            # What 'vab index build' does after the last clip; where the kind is not exact, measuring its recall too.
            "build_seconds": build_seconds,
            "open_seconds": open_seconds,
            # Of what is searched and what it is made from.
            "megabytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6,
            "recall_10": float(recall),
            "queries_a_second": len(queries) / together,  # asked all at once
            "milliseconds_a_query": 1000 * alone / len(singles),  # asked one by one
            "over_product": together / product,  # of all queries, over their matrix product with all vectors
            # Of one query, over its product with all vectors, which reads each once.
            "over_read": alone / read,
        }


def _add(database: ClipDatabase, vectors: np.ndarray) -> None:
    """Clips of one window that has frames and no audio."""
    nothing = np.zeros((0, vectors.shape[1]), np.float32)
    root = database.add_root(Path("/"))
    for number in range(len(vectors)):
        clip = database.start_clip(str(number), root, str(number), ())
        parts: dict[Branch, np.ndarray] = {"video": vectors[number : number + 1], "audio": nothing}
        database.add_stretch(clip, [(0.0, 1.0, True, False)], parts, resume=None)
    database.commit()


def _timed(action: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = action()
    return result, time.perf_counter() - began


def _median_of(action: Callable[[], Result]) -> tuple[Result, float]:
    """The result and the median time of some calls."""
    calls = [_timed(action) for _ in range(NUM_CALLS)]
    return calls[0][0], float(np.median([seconds for _, seconds in calls]))


def _show(rows: list[dict[str, Any]], title: str) -> None:
    table = numbers_table(title, *INDEX_COLUMNS)
    table.box = None
    for row in rows:
        table.add_row(*(shown(row) for shown in INDEX_COLUMNS.values()))
    console.print(table)
