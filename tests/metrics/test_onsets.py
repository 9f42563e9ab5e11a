"""Onsets: known clicks, silence, steady noise, and the best matching against a brute force."""

import numpy as np
import pytest
import torch
from made_sounds import strikes
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from vab.metrics.onsets import (
    OnsetScores,
    detect_onsets,
    match_events,
    onset_average_precision,
    onset_scores,
    onset_strength,
)

RATE = 16_000


def noise(seconds=4.0, *, gain=0.1, seed=0):
    return gain * torch.randn(1, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


TIMES = [0.5, 1.13, 2.0, 2.4, 3.31]


@pytest.mark.parametrize("sample_rate", [16_000, 22_050, 44_100])
@pytest.mark.parametrize("gain", [0.5, 0.01])
def test_strikes_are_found_where_they_are(sample_rate, gain):
    found = detect_onsets(strikes(TIMES, sample_rate=sample_rate, gain=gain), sample_rate)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(TIMES, abs=0.011)


def test_strikes_over_noise_are_found():
    found = detect_onsets(strikes(TIMES) + noise(gain=0.02), RATE)
    assert found.tolist() == pytest.approx(TIMES, abs=0.021)


@pytest.mark.parametrize(
    "waveform",
    [
        torch.zeros(1, 4 * RATE),
        noise(gain=0.1),
        noise(gain=1e-6, seed=3),
        torch.sin(2 * torch.pi * 440 * torch.arange(4 * RATE) / RATE)[None],
        torch.zeros(1, 0),
        torch.zeros(1, 100),
        torch.ones(1, 500),
    ],
    ids=["silence", "noise", "dither", "tone", "nothing", "short", "short and loud"],
)
def test_silence_and_steady_sound_have_no_onset(waveform):
    assert len(detect_onsets(waveform, RATE)) == 0


def test_strength_is_100_values_a_second_and_deaf_to_gain():
    curve = onset_strength(strikes(TIMES), RATE)
    assert curve.shape == (400,)
    assert torch.allclose(curve, onset_strength(strikes(TIMES, gain=0.05), RATE), atol=1e-3)


def test_a_higher_threshold_finds_less():
    sound = strikes([0.5, 1.5]) + strikes([2.5], gain=0.01)
    assert len(detect_onsets(sound, RATE, threshold=1.0)) == 3
    assert len(detect_onsets(sound, RATE)) == 2
    assert len(detect_onsets(sound, RATE, threshold=60.0)) == 0


def test_matching_is_the_best_there_is():
    random = np.random.default_rng(0)
    for _ in range(200):
        detected, true = (np.sort(random.uniform(0, 1, random.integers(0, 12))) for _ in range(2))
        fits = csr_array((np.abs(detected[:, None] - true[None]) <= 0.1).astype(int))
        best = int((maximum_bipartite_matching(fits) >= 0).sum()) if min(fits.shape) else 0
        order = random.permutation(len(detected))
        assert match_events(torch.from_numpy(detected[order]), torch.from_numpy(true), window=0.1) == best


def test_the_window_matches_and_each_event_counts_once():
    true = torch.tensor([1.0, 2.0])
    assert match_events(torch.tensor([1.04, 1.02, 2.2]), true) == 1
    assert match_events(torch.tensor([1.04, 1.02, 2.2]), true, window=0.25) == 2


def test_scores_from_counts():
    scores = onset_scores(torch.tensor([1.0, 1.5, 2.0, 3.0]), torch.tensor([1.01, 2.01]))
    assert (scores.precision, scores.recall, scores.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert scores + scores == OnsetScores(8, 4, 4)


def test_scores_of_nothing():
    nothing, one = torch.zeros(0), torch.ones(1)
    for detected, true, expected in ((nothing, nothing, 1.0), (nothing, one, 0.0), (one, nothing, 0.0)):
        scores = onset_scores(detected, true)
        assert (scores.precision, scores.recall, scores.f1) == (expected,) * 3
        assert onset_average_precision(detected, detected, true) == expected


def test_average_precision_wants_the_sure_ones_right():
    detected, true = torch.tensor([1.0, 1.5, 2.0]), torch.tensor([1.0, 2.0])
    assert onset_average_precision(detected, torch.tensor([3.0, 1.0, 2.0]), true) == 1.0
    assert onset_average_precision(detected, torch.tensor([3.0, 2.0, 1.0]), true) == pytest.approx(5 / 6)
    assert onset_average_precision(detected, torch.tensor([1.0, 3.0, 2.0]), true) == pytest.approx(7 / 12)
    assert onset_average_precision(detected[:1], torch.ones(1), true) == 0.5
