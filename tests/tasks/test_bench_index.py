"""The benchmark of indexes: every row there, exact search exact, another seed other vectors."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tasks import cli
from tasks.bench.index import make_vectors
from tasks.bench.options import BenchIndexOptions


def test_every_backend_kind_and_size_is_measured(tmp_path: Path) -> None:
    backends = ["faiss", "lancedb"] if find_spec("lancedb") else ["faiss"]
    words = ["--sizes", "2100", "2500", "--dim", "16", "--num-queries", "20", "--backends", *backends]
    assert cli.main(["bench", "index", *words, "-o", str(tmp_path / "x.json")]) == 0
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert [(row["size"], row["backend"], row["kind"]) for row in rows] == [
        (size, backend, kind)
        for size in (2100, 2500)
        for backend in backends
        for kind in ("flat", "hnsw", "ivfpq")
    ]
    assert all(row["recall_10"] == 1 for row in rows if row["kind"] == "flat")
    assert all(row["recall_10"] > 0.8 and row["queries_a_second"] > 0 for row in rows)
    assert all(row["open_seconds"] > 0 and row["over_product"] > 0 and row["over_read"] > 0 for row in rows)


def test_vectors_are_of_unit_norm_and_the_seeds_own() -> None:
    first, queries = make_vectors(50, BenchIndexOptions(dim=32, num_queries=3))
    assert (first.shape, queries.shape) == ((50, 32), (3, 32))
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)
    assert np.array_equal(first, make_vectors(50, BenchIndexOptions(dim=32, num_queries=3))[0])
    assert not np.array_equal(first, make_vectors(50, BenchIndexOptions(dim=32, seed=1))[0])
