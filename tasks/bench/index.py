"""``vab bench index``: recall and speed of the kinds of index, at several sizes."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from tasks.bench.options import BenchIndexOptions
from tasks.console import console, progress_bar
from vab import __version__
from vab.config import to_dict
from vab.files import write_atomically
from vab.retrieval.options import IndexKind
from vab.retrieval.vectors import build_vectors, library, nearest, open_vectors, write_vectors

SHEET_DIMENSIONS = 24
NOISE = 0.02
NUM_SINGLE_QUERIES = 50
TOP = 10


@dataclass(frozen=True)
class IndexTimes:
    """One row of the table."""

    size: int
    kind: IndexKind
    build_seconds: float
    megabytes: float
    recall_10: float
    queries_a_second: float
    """Asked all at once."""
    milliseconds_a_query: float
    """Asked one by one."""


def run(options: BenchIndexOptions) -> int:
    """Print a table, write JSON if asked."""
    rows = []
    with progress_bar("indexes") as progress:
        task = progress.add_task("measuring", total=len(options.sizes) * len(options.kinds))
        for size in options.sizes:
            vectors, queries = make_vectors(size, options)
            _, exact = nearest(build_vectors(vectors, "flat"), queries, TOP)
            for kind in options.kinds:
                rows.append(_measure(vectors, queries, exact, kind))
                progress.advance(task)
    version, threads = library()
    _show(rows, f"{options.dim} numbers a vector, {options.num_queries} queries, {threads} threads")
    if options.output:
        document = {
            "rows": [asdict(row) for row in rows],
            "threads": threads,
            "options": to_dict(options),
            "faiss": version,
            "vab": __version__,
        }
        write_atomically(options.output, json.dumps(document, indent=2) + "\n")
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


def _measure(vectors: np.ndarray, queries: np.ndarray, exact: np.ndarray, kind: IndexKind) -> IndexTimes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.faiss"
        built, build_seconds = _timed(lambda: build_vectors(vectors, kind))
        write_vectors(built, path)
        del built
        index = open_vectors(path)
        nearest(index, queries[:1], TOP)  # brings the file into memory
        (_, found), together = _timed(lambda: nearest(index, queries, TOP))
        singles = queries[:NUM_SINGLE_QUERIES, None]
        _, alone = _timed(lambda: [nearest(index, query, TOP) for query in singles])
        recall = np.mean([len(set(a) & set(b)) / TOP for a, b in zip(exact, found, strict=True)])
        return IndexTimes(
            len(vectors),
            kind,
            build_seconds,
            path.stat().st_size / 1e6,
            float(recall),
            len(queries) / together,
            1000 * alone / len(singles),
        )


def _timed(action: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    result = action()
    return result, time.perf_counter() - began


def _show(rows: list[IndexTimes], title: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("vectors", "kind", "build s", "MB", "recall@10", "queries/s", "ms a query"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for row in rows:
        table.add_row(
            f"{row.size:,}",
            row.kind,
            f"{row.build_seconds:.1f}",
            f"{row.megabytes:.0f}",
            f"{row.recall_10:.3f}",
            f"{row.queries_a_second:,.0f}",
            f"{row.milliseconds_a_query:.2f}",
        )
    console.print(table)
