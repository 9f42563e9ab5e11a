"""Thin metrics give what their functions give."""

import pytest
import torch

from vab.metrics.clips import ClipMean, PooledOnsetScores
from vab.metrics.curves import wasserstein_seconds
from vab.metrics.scorers import code_vectors


def test_mean_over_clips():
    metric = ClipMean(wasserstein_seconds)
    curve = torch.tensor([1.0, 0.0, 0.0, 0.0])
    metric.update(curve, curve)
    metric.update(curve, curve.roll(2))
    assert metric.compute().item() == pytest.approx(0.01)


def test_pooled_onsets_count_events_not_clips():
    metric = PooledOnsetScores(window=0.1)
    metric.update(torch.tensor([1.0]), torch.tensor([1.05]))
    metric.update(torch.zeros(0), torch.tensor([1.0, 2.0, 3.0]))
    assert metric.compute() == {"precision": 1.0, "recall": 0.25, "f1": 0.4}
    metric.window = 0.01
    metric.reset()
    metric.update(torch.tensor([1.0]), torch.tensor([1.05]))
    assert metric.compute()["f1"] == 0


def test_code_vectors_put_levels_side_by_side():
    codebooks = torch.arange(12.0).reshape(2, 3, 2)
    vectors = code_vectors(torch.tensor([[0, 2], [1, 1]]), codebooks)
    assert vectors.tolist() == [[0, 1, 8, 9], [4, 5, 8, 9]]
    with pytest.raises(ValueError, match="of 3 entries"):
        code_vectors(torch.tensor([[3], [0]]), codebooks)
