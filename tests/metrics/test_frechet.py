"""Frechet distance: closed forms, SciPy's matrix root, and the cases in which the usual code fails."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from vab.metrics.frechet import (
    ClipFrechetDistance,
    FrechetDistance,
    Moments,
    extrapolate,
    frechet_distance,
    pool,
)


def normal(count, width, *, seed=0, shift=0.0, scale=1.0):
    rows = torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows * scale + shift


def gaussian(mean, covariance, count=1000):
    """Moments with exactly this mean and covariance."""
    mean, covariance = torch.as_tensor(mean).double(), torch.as_tensor(covariance).double()
    return Moments(count, mean * count, covariance * (count - 1) + count * mean.outer(mean))


def test_diagonal_gaussians_have_a_closed_form():
    first = gaussian([0.0, 1.0, 2.0], torch.diag(torch.tensor([1.0, 4.0, 9.0])))
    second = gaussian([1.0, 1.0, 0.0], torch.diag(torch.tensor([4.0, 1.0, 9.0])))
    # 1 + 0 + 4 of the means, (1 - 2)^2 + (2 - 1)^2 + 0 of the deviations.
    assert frechet_distance(first, second) == pytest.approx(7.0, rel=1e-12)
    assert frechet_distance(second, first) == pytest.approx(7.0, rel=1e-12)


def test_any_gaussians_are_scipys():
    first, second = Moments.of(normal(300, 20, seed=1)), Moments.of(normal(300, 20, seed=2, scale=3.0))
    root = sqrtm((first.covariance @ second.covariance).numpy()).real
    expected = (first.mean - second.mean).square().sum() + np.trace(
        (first.covariance + second.covariance).numpy() - 2 * root
    )
    assert frechet_distance(first, second) == pytest.approx(float(expected), rel=1e-9)


def test_moments_are_those_of_torch_and_pool():
    rows = normal(50, 4, shift=3.0)
    moments = Moments.of(rows)
    assert torch.allclose(moments.mean, rows.mean(0))
    assert torch.allclose(moments.covariance, torch.cov(rows.T))
    pooled = Moments.of(rows[:20]) + Moments.of(rows[20:])
    assert torch.allclose(pooled.covariance, moments.covariance)


@pytest.mark.parametrize(
    "rows",
    [normal(3, 40), torch.zeros(10, 5), normal(100, 6) * torch.tensor([1e-9, 1, 1, 1e6, 1, 0]), normal(1, 3)],
    ids=["fewer rows than columns", "all equal", "badly scaled", "one row"],
)
def test_identity_is_zero_and_nothing_is_negative_or_nan(rows):
    moments = Moments.of(rows)
    scale = max(1.0, moments.covariance.trace().item())
    assert 0 <= frechet_distance(moments, moments) <= 1e-6 * scale
    other = frechet_distance(moments, Moments.of(rows + 1))
    assert math.isfinite(other)
    assert other == pytest.approx(rows.shape[1], abs=1e-5 * scale)


def test_order_of_clips_does_not_matter_and_metric_is_the_function():
    ours, theirs = normal(90, 5, seed=3).reshape(9, 10, 5), normal(90, 5, seed=4, shift=0.3).reshape(9, 10, 5)
    metric = FrechetDistance(5)
    for index in torch.randperm(9).tolist():
        metric.update(ours[index], is_generated=True)
        metric.update(theirs[8 - index], is_generated=False)
    expected = frechet_distance(Moments.of(ours.reshape(90, 5)), Moments.of(theirs.reshape(90, 5)))
    assert metric.compute() == pytest.approx(expected, rel=1e-9)
    metric.reset()
    metric.update(ours[0], is_generated=False)
    with pytest.raises(ValueError, match="no generated features"):
        metric.compute()


def test_more_clips_than_bags_are_all_counted():
    metric = FrechetDistance(2)
    rows = normal(330, 2, seed=5)
    for row in rows.split(3):
        metric.update(row, is_generated=True)
    metric.update(rows, is_generated=False)
    assert metric.compute() == pytest.approx(0, abs=1e-9)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        Moments.of(torch.tensor([[1.0, torch.nan]]))
    with pytest.raises(ValueError, match="empty"):
        frechet_distance(Moments.of(torch.zeros(0, 2)), Moments.of(torch.zeros(3, 2)))


def test_extrapolation_takes_the_bias_away():
    reference = pool([Moments.of(normal(20_000, 16, seed=6))])
    clips = [Moments.of(rows) for rows in normal(400, 16, seed=7).split(4)]
    biased = frechet_distance(pool(clips), reference)
    result = extrapolate(clips, reference, generator=torch.Generator().manual_seed(0))
    assert result is not None
    # The same distribution: what is left of the distance is bias.
    assert biased > 0.1
    assert result.distance < biased / 3
    assert result.r_squared > 0.9
    again = extrapolate(clips, reference, generator=torch.Generator().manual_seed(0))
    assert again == result


def test_extrapolation_needs_ten_clips():
    clips = [Moments.of(normal(5, 2, seed=seed)) for seed in range(9)]
    assert extrapolate(clips, pool(clips), generator=torch.Generator().manual_seed(0)) is None


def test_wide_rows_of_single_clips_are_kept_and_agree_with_moments():
    ours, theirs = normal(6, 40, seed=8), normal(6, 40, seed=9) + 1
    metric = ClipFrechetDistance()
    for pair in zip(ours, theirs, strict=True):
        metric.update(*pair)
    assert metric.compute() == pytest.approx(frechet_distance(Moments.of(ours), Moments.of(theirs)), rel=1e-9)
    same = ClipFrechetDistance()
    for row in ours:
        same.update(row, row)
    assert same.compute() == pytest.approx(0, abs=1e-6)
