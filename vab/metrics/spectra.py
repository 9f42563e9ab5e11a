"""Distances of two sounds' spectra, and the frame features that set distances are taken on."""

from __future__ import annotations

from functools import cache

import torch
import torchaudio

from vab.shapes import Float, Tensor

FLOOR_DB = -80.0
"""Below the power of a sine at full scale; what is softer counts as silence, so that no noise floor decides."""
LOUDEST_SHARE = 0.1
"""Share of the bands and frames of a true sound that :func:`loudest_log_mel_distance` compares."""
STFT_SIZES = (512, 1024, 2048)
MFCC_RATE = 44_100
"""Samples a second that :func:`mfcc` is defined at (MaskVAT)."""

LOG_MEL_RATE = 100
"""Columns of :func:`log_mel` a second."""
_MEL_WINDOW_SECONDS = 0.064
_MFCC_WINDOW = 2048
MFCC_HOP = 512
_MFCC_MELS = 128
_NUM_MFCC = 64


def log_mel(waveform: Float[Tensor, "1 L"], sample_rate: int, *, num_bands: int = 80) -> Float[Tensor, "M T"]:
    """Log-mel spectrogram in dB below a sine at full scale, never under ``FLOOR_DB``; the package's only one.

    Hann windows of 64 ms every 10 ms, triangular bands on Slaney's mel scale up to half the sample rate, power.
    """
    window = round(_MEL_WINDOW_SECONDS * sample_rate)
    hop = round(sample_rate / LOG_MEL_RATE)
    return _decibels(_mel_power(waveform, sample_rate, window=window, hop=hop, num_mels=num_bands))


def log_mel_distance(first: Float[Tensor, "1 L"], second: Float[Tensor, "1 l"], sample_rate: int) -> float:
    """Mean absolute difference of two sounds' :func:`log_mel` of 80 bands, in dB: the package's log-mel distance."""
    return _log_mel_difference(first, second, sample_rate).mean().item()


def loudest_log_mel_distance(
    sound: Float[Tensor, "1 L"], truth: Float[Tensor, "1 l"], sample_rate: int
) -> float:
    """The same over the tenth of bands and frames where the true sound is loudest; background fills the rest."""
    level = log_mel(truth, sample_rate).flatten()
    loudest = level.topk(int(LOUDEST_SHARE * len(level))).indices
    return _log_mel_difference(sound, truth, sample_rate).flatten()[loudest].mean().item()


def multi_resolution_stft_distance(first: Float[Tensor, "1 L"], second: Float[Tensor, "1 l"]) -> float:
    """Spectral convergence plus mean absolute difference in nepers, averaged over three window sizes.

    The auxiliary loss of Parallel WaveGAN (ICASSP 2020), with ``second`` the truth that the convergence is relative
    to; magnitudes are floored at ``FLOOR_DB``. Not symmetric.
    """
    _check_same_length(first, second)
    distances = []
    for size in STFT_SIZES:
        ours, theirs = (_power(each, window=size, hop=size // 4).sqrt() for each in (first, second))
        floor = 10 ** (FLOOR_DB / 20)
        convergence = (ours - theirs).norm() / theirs.norm().clamp_min(floor)
        difference = (ours.clamp_min(floor).log() - theirs.clamp_min(floor).log()).abs().mean()
        distances.append((convergence + difference).item())
    return sum(distances) / len(distances)


def mfcc(waveform: Float[Tensor, "1 L"]) -> Float[Tensor, "T M"]:
    """64 mel-frequency cepstral coefficients of sound at ``MFCC_RATE``, a row each 512 samples (MaskVAT).

    Windows of 2048, 128 mel bands, power in dB above ``FLOOR_DB``, orthonormal cosine transform. Level is in them.
    """
    power = _mel_power(waveform, MFCC_RATE, window=_MFCC_WINDOW, hop=MFCC_HOP, num_mels=_MFCC_MELS)
    cosines = torchaudio.functional.create_dct(_NUM_MFCC, _MFCC_MELS, norm="ortho")
    # Counted from the floor, silence is the zero vector: no direction of its own where angles are compared.
    return (_decibels(power) - FLOOR_DB).T @ cosines


def _log_mel_difference(first: Tensor, second: Tensor, sample_rate: int) -> Tensor:
    _check_same_length(first, second)
    return (log_mel(first, sample_rate) - log_mel(second, sample_rate)).abs()


def _decibels(power: Tensor) -> Tensor:
    return 10 * power.clamp_min(10 ** (FLOOR_DB / 10)).log10()


def _power(waveform: Tensor, *, window: int, hop: int) -> Tensor:
    """Power spectrogram [bins, T] in which a sine at full scale has 1, whatever the window."""
    # Padding with silence, since reflection needs sound longer than half a window.
    padded = torch.nn.functional.pad(waveform[0].float(), (window // 2, window // 2))
    shape = torch.hann_window(window)
    spectrum = torch.stft(padded, window, hop, window=shape, center=False, return_complex=True)
    return (spectrum.abs() * (2 / shape.sum())).square()


def _mel_power(waveform: Tensor, sample_rate: int, *, window: int, hop: int, num_mels: int) -> Tensor:
    return _mel_filters(window, num_mels, sample_rate) @ _power(waveform, window=window, hop=hop)


@cache
def _mel_filters(window: int, num_mels: int, sample_rate: int) -> Tensor:
    """Mel bands [M, bins] up to the highest frequency there is; on Slaney's scale no band is empty."""
    return torchaudio.functional.melscale_fbanks(
        window // 2 + 1, 0.0, sample_rate / 2, num_mels, sample_rate, mel_scale="slaney"
    ).T


def _check_same_length(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise ValueError(f"sounds of {first.shape[1]} and {second.shape[1]} samples; cut them to one length")
