"""Levels of known sounds."""

import pytest
import torch

from vab.metrics.loudness import loudness

RATE = 16_000


def tone(amplitude, seconds=2.0):
    return amplitude * torch.sin(2 * torch.pi * 997 * torch.arange(round(seconds * RATE)) / RATE)[None]


def test_a_full_scale_tone():
    levels = loudness(tone(1.0), RATE)
    assert levels.peak_db == pytest.approx(0, abs=0.01)
    assert levels.rms_db == pytest.approx(-3.01, abs=0.01)
    # EBU Tech 3341: a 997 Hz sine at 0 dBFS in one channel is -3.01 LUFS; torchaudio's filters are 0.3 off.
    assert levels.lufs == pytest.approx(-3.01, abs=0.3)
    assert levels.silent_share == 0
    assert not levels.is_silent


def test_half_a_clip_of_silence():
    levels = loudness(torch.cat([tone(0.5, 1.0), torch.zeros(1, RATE)], dim=1), RATE)
    assert levels.silent_share == pytest.approx(0.5)
    assert not levels.is_silent


@pytest.mark.parametrize("waveform", [torch.zeros(1, RATE), torch.zeros(1, 0), torch.zeros(1, 5), tone(1e-4)])
def test_silence(waveform):
    levels = loudness(waveform, RATE)
    assert levels.is_silent
    assert levels.silent_share == 1
    assert levels.lufs is None or levels.lufs < -70
