"""Ranks of the right answers and what is made of them: recall at k, median rank (paper tables 3, 10, 14)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vab.errors import RetrievalError
from vab.shapes import Float, Int, Tensor


def pair_ranks(
    queries: Float[Tensor, "Q P"], gallery: Float[Tensor, "Q P"], *, chunk_size: int = 1024
) -> Int[Tensor, " Q"]:
    """Rank, from 1, of row ``i`` of the gallery among all of it by similarity to query ``i``.

    Every other row that is as similar counts as found before it: what a model cannot tell apart, it has not found.
    The full matrix is never held, so size is bounded by time alone.

    Args:
        queries: unit-norm embeddings.
        gallery: unit-norm embeddings; the right answer to query ``i`` is row ``i``.
        chunk_size: queries compared at a time.

    Raises:
        RetrievalError: a number is not finite, or there is nothing to rank.
    """
    if not len(queries):
        raise RetrievalError("no pairs to rank")
    for what, rows in (("queries", queries), ("gallery", gallery)):
        if not rows.isfinite().all():
            bad = int((~rows.isfinite().all(dim=1)).sum())
            raise RetrievalError(
                f"{bad} of {len(rows)} {what} hold numbers that are not finite; nothing is ranked"
            )
    ranks = []
    for start in range(0, len(queries), chunk_size):
        similarity = queries[start : start + chunk_size] @ gallery.T
        right = similarity.diagonal(start)[:, None]
        ranks.append((similarity >= right).sum(dim=1))
    return torch.cat(ranks)


def recall_at(ranks: Int[Tensor, " Q"], k: int) -> float:
    """Share of queries whose answer is among the first ``k``."""
    return (ranks <= k).double().mean().item()


@dataclass(frozen=True)
class RankSummary:
    """What papers print of one direction."""

    num_queries: int
    recall_1: float
    recall_5: float
    recall_10: float
    median_rank: float
    mean_rank: float

    @classmethod
    def of(cls, ranks: Int[Tensor, " Q"]) -> RankSummary:
        """Summary of the ranks of one direction."""
        first, five, ten = (recall_at(ranks, k) for k in (1, 5, 10))
        median = torch.quantile(ranks.double(), 0.5).item()
        return cls(len(ranks), first, five, ten, median, ranks.double().mean().item())

    @classmethod
    def by_chance(cls, num_queries: int) -> RankSummary:
        """What embeddings that know nothing get."""
        middle = (num_queries + 1) / 2
        first, five, ten = (min(1.0, k / num_queries) for k in (1, 5, 10))
        return cls(num_queries, first, five, ten, middle, middle)
