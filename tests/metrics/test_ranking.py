"""Ranks against a slow sort, ties against the model, what is not a number refused."""

import pytest
import torch
import torch.nn.functional as F

from vab.errors import RetrievalError
from vab.metrics.ranking import RankSummary, pair_ranks, recall_at


def _unit(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def _slow_ranks(queries: torch.Tensor, gallery: torch.Tensor) -> list[int]:
    """One query at a time, sorted as Python sorts, the right answer last among equals."""
    ranks = []
    for index, query in enumerate(queries.double().tolist()):
        scored = [
            (-sum(a * b for a, b in zip(query, row, strict=True)), row_index == index)
            for row_index, row in enumerate(gallery.double().tolist())
        ]
        ranks.append([is_right for _, is_right in sorted(scored)].index(True) + 1)
    return ranks


@pytest.mark.parametrize("chunk_size", [1, 7, 50, 1000])
def test_ranks_are_those_of_a_sort_whatever_the_chunks(chunk_size: int) -> None:
    queries, noise = _unit(50, 1), _unit(50, 2)
    gallery = F.normalize(queries + 2 * noise, dim=1)
    assert pair_ranks(queries, gallery, chunk_size=chunk_size).tolist() == _slow_ranks(queries, gallery)


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    same = torch.ones(20, 4) / 2
    ranks = pair_ranks(same, same)
    assert ranks.tolist() == [20] * 20
    assert RankSummary.of(ranks).recall_10 == 0.0


def test_known_summary() -> None:
    summary = RankSummary.of(torch.tensor([1, 1, 4, 6, 10, 11, 30, 2]))
    assert summary == RankSummary(8, 2 / 8, 4 / 8, 6 / 8, 5.0, 65 / 8)
    assert recall_at(torch.tensor([3, 4]), 3) == 0.5


def test_chance_is_what_random_embeddings_get() -> None:
    found = [RankSummary.of(pair_ranks(_unit(200, seed), _unit(200, seed + 100))) for seed in range(20)]
    chance = RankSummary.by_chance(200)
    assert sum(summary.recall_10 for summary in found) / 20 == pytest.approx(chance.recall_10, abs=0.02)
    assert sum(summary.mean_rank for summary in found) / 20 == pytest.approx(chance.mean_rank, abs=5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    rows = _unit(5, 0)
    broken = rows.clone()
    broken[3, 2] = value
    with pytest.raises(RetrievalError, match="1 of 5 gallery"):
        pair_ranks(rows, broken)
    with pytest.raises(RetrievalError, match="1 of 5 queries"):
        pair_ranks(broken, rows)
    with pytest.raises(RetrievalError, match="no pairs"):
        pair_ranks(rows[:0], rows[:0])
