"""Curves over time: identity, known shifts, and plain loops or SciPy as the second opinion."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from vab.metrics.curves import correlation, dtw_distance, novelty, wasserstein_seconds


def random_curve(length=60, seed=0):
    return torch.rand(length, generator=torch.Generator().manual_seed(seed))


def bumps(places, length=300):
    times = torch.arange(length, dtype=torch.float64)
    return sum(torch.exp(-0.5 * ((times - place) / 2) ** 2) for place in places)


def test_wasserstein_is_scipys_and_symmetric():
    first, second = random_curve(seed=1), random_curve(seed=2)
    times = np.arange(60) / 100
    expected = wasserstein_distance(times, times, first, second)
    assert wasserstein_seconds(first, second) == pytest.approx(expected, rel=1e-6)
    assert wasserstein_seconds(first, second) == pytest.approx(wasserstein_seconds(second, first))
    assert wasserstein_seconds(first, first) == 0


def test_wasserstein_of_a_shift_is_the_shift_whatever_the_level():
    assert wasserstein_seconds(bumps([50, 120]), 7 * bumps([60, 130])) == pytest.approx(0.1)


def test_wasserstein_with_nothing():
    assert wasserstein_seconds(torch.zeros(300), torch.zeros(300)) == 0
    assert wasserstein_seconds(torch.zeros(300), bumps([50])) == 3.0


def warped_by_loops(a, b):
    a, b = a / a.max(), b / b.max()
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            cost[i + 1, j + 1] = (a[i] - b[j]) ** 2 + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    return np.sqrt(cost[-1, -1])


@pytest.mark.parametrize(("length", "other"), [(30, 30), (30, 17), (1, 5), (1, 1)])
def test_dtw_is_that_of_plain_loops(length, other):
    first, second = random_curve(length, seed=3).double(), random_curve(other, seed=4).double()
    assert dtw_distance(first, second) == pytest.approx(warped_by_loops(first.numpy(), second.numpy()))
    assert dtw_distance(first, second) == pytest.approx(dtw_distance(second, first))


def test_dtw_forgives_a_shift_and_not_noise():
    true = bumps([50, 120, 250])
    assert dtw_distance(true, true) == 0
    shifted = dtw_distance(true, bumps([60, 130, 260]))
    assert shifted < 0.2 * dtw_distance(true, random_curve(300))
    assert dtw_distance(torch.zeros(300), torch.zeros(300)) == 0
    assert dtw_distance(torch.zeros(300), true) == pytest.approx(true.div(true.max()).norm().item())
    with pytest.raises(ValueError, match="empty"):
        dtw_distance(torch.zeros(0), true)


def textures(lengths, seed=0):
    """One random direction for each stretch of moments, a little noise on it."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(1, 12, generator=generator).repeat(length, 1) for length in lengths]
    return torch.cat(rows) + 0.01 * torch.randn(sum(lengths), 12, generator=generator)


def test_novelty_peaks_where_the_texture_changes():
    curve = novelty(textures([100, 80, 120]), rate=100)
    radius = 50
    assert curve.shape == (300 - 2 * radius + 1,)
    peaks = [int(curve[: 140 - radius].argmax()) + radius, 140 + int(curve[140 - radius :].argmax())]
    assert peaks == pytest.approx([100, 180], abs=1)
    assert novelty(torch.zeros(150, 3), rate=100).abs().max() == 0
    assert len(novelty(torch.zeros(99, 3), rate=100)) == 0


def test_novelty_is_footes_checkerboard_on_the_similarity_matrix():
    features, radius = textures([40, 30], seed=1).double(), 10
    unit = torch.nn.functional.normalize(features, dim=1)
    similarity = unit @ unit.T
    offset = torch.arange(-radius, radius) + 0.5
    side = offset.sign() * torch.exp(-0.5 * (offset / (radius / 2)) ** 2)
    curve = novelty(features, rate=20)
    for place in (10, 39, 60):
        block = similarity[place - radius : place + radius, place - radius : place + radius]
        assert curve[place - radius].item() == pytest.approx((side.outer(side) * block).sum().item())


def test_novelty_correlation_knows_a_shift_and_not_the_ends():
    true = novelty(textures([100, 80, 120]), rate=100)
    late = novelty(textures([140, 80, 80]), rate=100)
    assert correlation(true, true) == pytest.approx(1)
    assert correlation(true, late) < 0.3
    # Both change at their very ends, as encoded clips do; nothing else is common.
    ends = [
        torch.cat([textures([2], seed=9), textures([m, 200 - m], seed=s), textures([2], seed=9)])
        for m, s in ((90, 2), (130, 3))
    ]
    assert correlation(*(novelty(each, rate=100) for each in ends)) < 0.3


def test_correlation_of_flat_curves_and_lengths():
    assert correlation(torch.ones(9), torch.zeros(9)) == 1
    assert correlation(torch.ones(9), torch.arange(9.0)) == 0
    assert correlation(torch.arange(9.0), -torch.arange(9.0)) == pytest.approx(-1)
    with pytest.raises(ValueError, match="9 and 8"):
        correlation(torch.ones(9), torch.ones(8))
