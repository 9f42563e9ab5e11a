"""The one module that knows FAISS: vectors to an index file and back, nearest by inner product."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from vab.errors import RetrievalError
from vab.files import complete_file
from vab.retrieval.options import IndexKind

HNSW_LINKS = 32
HNSW_BUILD_WIDTH = 80
HNSW_SEARCH_WIDTH = 256
IVF_PROBES = 128
REFINE_FACTOR = 16
"""How many times the wanted number of candidates is compared again with their full vectors."""
IVF_MINIMUM = 2_000
"""Vectors below which cells and codes cannot be learnt well, and exact search is fast anyway."""
QUERIES_A_PRODUCT = 32
ROUNDING = 1e-5
"""By how much two ways of computing the cosine of the same vectors may differ."""


def build_vectors(vectors: np.ndarray, kind: IndexKind) -> Any:
    """A FAISS index over vectors float32 [n, P]; number i is row i.

    Raises:
        RetrievalError: a kind that must be learnt from more vectors than there are.
    """
    dim = vectors.shape[1]
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = HNSW_BUILD_WIDTH
    else:
        if len(vectors) < IVF_MINIMUM:
            raise RetrievalError(
                f"ivfpq must learn from at least {IVF_MINIMUM} vectors, there are {len(vectors)}; use --kind flat"
            )
        cells = 2 ** round(math.log2(2 * math.sqrt(len(vectors))))
        parts = dim // 4 if dim % 4 == 0 else dim
        # Codes of 4 bits are learnt 30 times as fast as codes of 8; the second look makes up for what they lose.
        kind_of_faiss = f"IVF{cells},PQ{parts}x4fs,Refine(SQfp16)"
        index = faiss.index_factory(dim, kind_of_faiss, faiss.METRIC_INNER_PRODUCT)
        index.train(_sample(vectors, 64 * cells))
    index.add(np.ascontiguousarray(vectors))
    return index


def write_vectors(index: Any, path: Path) -> None:
    """Write an index file, whole or not at all.

    Raises:
        OSError: the disk is full, or writing is not allowed.
    """
    with complete_file(path) as partial:
        try:
            faiss.write_index(index, str(partial))
        except RuntimeError as error:  # what it makes of a full disk
            raise OSError(errno.EIO, "the index cannot be written whole") from error


def open_vectors(path: Path) -> Any:
    """Open an index file, memory-mapped.

    Raises:
        RetrievalError: damaged.
    """
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:
        raise RetrievalError(f"{path} cannot be read; `vab index add {path.parent}` makes it again") from None


def nearest(index: Any, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 [Q, count] and rows int64 [Q, count], best first; row -1 where there is no more.

    Args:
        index: of ``build_vectors`` or ``open_vectors``.
        queries: float32 [Q, P].
        count: how many.
    """
    count = max(1, min(count, index.ntotal))
    queries = np.ascontiguousarray(queries, np.float32)
    is_few = 0 < queries.size < faiss.cvar.distance_compute_blas_threshold
    if isinstance(index, faiss.IndexFlat) and index.ntotal and is_few:
        return _nearest_to_few(index, queries, count)
    return index.search(queries, count, params=_parameters(index, count))


def recall_of(index: Any, vectors: np.ndarray, queries: np.ndarray, count: int = 10) -> float:
    """Share of the exact ``count`` nearest that the index finds."""
    _, exact = nearest(build_vectors(vectors, "flat"), queries, count)
    _, found = nearest(index, queries, count)
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(exact, found, strict=True)]))


def _nearest_to_few(index: Any, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact search for few queries: a matrix product finds candidates, FAISS compares these.

    FAISS alone would read all vectors once for each query, in one thread.
    """
    untyped: Any = faiss
    vectors = torch.from_numpy(untyped.rev_swig_ptr(index.get_xb(), index.ntotal * index.d))
    found = []
    for block in torch.tensor(queries).split(QUERIES_A_PRODUCT):
        products = block @ vectors.view(-1, index.d).T
        least = products.topk(count).values[:, -1:]
        for query, is_near in zip(block, products >= least - ROUNDING, strict=True):
            selector = untyped.IDSelectorArray(is_near.nonzero()[:, 0].numpy())
            params = untyped.SearchParameters(sel=selector)
            found.append(index.search(query[None].numpy(), count, params=params))
    return np.concatenate([scores for scores, _ in found]), np.concatenate([rows for _, rows in found])


def _parameters(index: Any, count: int) -> Any:
    untyped: Any = faiss  # its stubs lack these classes' arguments
    if isinstance(index, faiss.IndexHNSW):
        return untyped.SearchParametersHNSW(efSearch=max(HNSW_SEARCH_WIDTH, 2 * count))
    if isinstance(index, faiss.IndexRefine):
        return untyped.IndexRefineSearchParameters(
            k_factor=REFINE_FACTOR, base_index_params=untyped.SearchParametersIVF(nprobe=IVF_PROBES)
        )
    return None


def _sample(vectors: np.ndarray, size: int) -> np.ndarray:
    rows = np.random.default_rng(0).permutation(len(vectors))[:size]
    return np.ascontiguousarray(vectors[np.sort(rows)])
