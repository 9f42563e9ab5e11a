"""Test tones and their score."""

from __future__ import annotations

import pytest
import torch

from vab.metrics.tones import Tone, glide, steady_tones, tone_score

RATE = 16_000


def test_a_tone_is_all_in_place_and_in_tune() -> None:
    for tone in steady_tones(4, RATE):
        score = tone_score(tone, tone.waveform, RATE)
        assert score.share > 0.95
        assert score.cents < 10  # the spectrum's lines are 2 Hz apart


def test_another_pitch_is_out_of_place() -> None:
    low, high = (steady_tones(1, RATE, lowest=f, highest=f)[0] for f in (440.0, 466.16))
    score = tone_score(low, high.waveform, RATE)
    assert score.share < 0.1
    assert score.cents == pytest.approx(100, abs=10)


def test_noise_is_out_of_place() -> None:
    [tone] = steady_tones(1, RATE)
    noise = torch.randn(tone.waveform.shape, generator=torch.Generator().manual_seed(0))
    assert tone_score(tone, noise, RATE).share < 0.05


def test_the_same_seed_gives_the_same_tones() -> None:
    assert [t.frequency for t in steady_tones(3, RATE, seed=1)] == [
        t.frequency for t in steady_tones(3, RATE, seed=1)
    ]
    assert steady_tones(1, RATE, seed=1)[0].frequency != steady_tones(1, RATE, seed=2)[0].frequency
    assert all(200 <= tone.frequency <= 2500 for tone in steady_tones(50, RATE))


def test_a_glide_rises_and_falls() -> None:
    sound = glide(RATE)
    spectrum = torch.stft(sound[0], 1024, window=torch.hann_window(1024), return_complex=True).abs()
    peak = spectrum.argmax(dim=0) * RATE / 1024
    assert peak[10] == pytest.approx(320, abs=40)
    assert peak[len(peak) // 2] == pytest.approx(2350, abs=120)
    assert peak[-10] == pytest.approx(320, abs=40)


def test_too_short() -> None:
    with pytest.raises(ValueError, match="shorter"):
        tone_score(Tone(440.0, torch.zeros(1, 16_000)), torch.zeros(1, 16_000), RATE)
