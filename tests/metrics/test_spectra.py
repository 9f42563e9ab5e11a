"""Spectral distances and MFCC: identity, known gains, librosa as the second opinion."""

import pytest
import torch

from vab.metrics.spectra import log_mel_distance, mfcc, multi_resolution_stft_distance

RATE = 16_000


def noise(*, gain=0.1, seed=0, seconds=1.0, rate=RATE):
    return gain * torch.randn(1, round(seconds * rate), generator=torch.Generator().manual_seed(seed))


def test_log_mel_distance_of_a_gain_is_the_gain():
    sound = noise(gain=0.2)
    assert log_mel_distance(sound, sound, RATE) == 0
    assert log_mel_distance(sound, sound / 2, RATE) == pytest.approx(6.02, abs=0.01)
    assert log_mel_distance(sound / 2, sound, RATE) == log_mel_distance(sound, sound / 2, RATE)


def test_distances_grow_with_noise_and_stay_finite_in_silence():
    tone = 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)[None]
    silence = torch.zeros(1, RATE)
    for distance in (lambda a, b: log_mel_distance(a, b, RATE), multi_resolution_stft_distance):
        near, far = (distance(tone + noise(gain=gain), tone) for gain in (0.001, 0.1))
        assert 0 < near < far
        assert distance(silence, silence) == 0
        assert 0 < distance(silence, tone) < 200


def test_dither_that_nobody_hears_is_no_distance():
    assert log_mel_distance(noise(gain=1e-6), torch.zeros(1, RATE), RATE) == 0


def test_stft_distance_of_a_gain():
    sound = noise(gain=0.2)
    assert multi_resolution_stft_distance(sound, sound) == 0
    # Half the truth: convergence 1/2, difference ln 2.
    assert multi_resolution_stft_distance(sound / 2, sound) == pytest.approx(0.5 + 0.693, abs=1e-2)


def test_other_lengths_are_refused():
    for distance in (lambda a, b: log_mel_distance(a, b, RATE), multi_resolution_stft_distance):
        with pytest.raises(ValueError, match="16000 and 8000"):
            distance(noise(), noise(seconds=0.5))


def test_mfcc_is_librosas():
    librosa = pytest.importorskip("librosa")
    sound = noise(rate=44_100, seconds=0.5)
    ours = mfcc(sound)
    power = librosa.feature.melspectrogram(
        y=sound[0].numpy(), sr=44_100, n_fft=2048, hop_length=512, n_mels=128, norm=None, pad_mode="constant"
    )
    # Librosa does not divide by the window's sum; a decibel is relative to full scale here.
    level = librosa.power_to_db(
        power * (2 / torch.hann_window(2048).sum().item()) ** 2, top_db=None, amin=1e-8
    )
    theirs = torch.from_numpy(librosa.feature.mfcc(S=level + 80, n_mfcc=64)).T
    assert ours.shape == theirs.shape == (44, 64)
    assert torch.allclose(ours, theirs.float(), atol=1e-2)


def test_mfcc_of_silence_is_zero():
    assert mfcc(torch.zeros(1, 44_100)).abs().max() == 0
