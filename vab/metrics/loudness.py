"""How loud a clip is and how much of it is silent: what to look at before believing any other number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torchaudio

from vab.shapes import Float, Tensor

SILENCE_DB = -60.0
"""RMS below full scale under which 20 ms are silent, and peak under which a whole clip is."""
_BLOCK_SECONDS = 0.02
_LUFS_BLOCK_SECONDS = 0.4
_LOWEST_DB = -120.0


@dataclass(frozen=True)
class Loudness:
    """Levels of one clip; dB below full scale, never under -120."""

    peak_db: float
    rms_db: float
    lufs: float | None
    """Integrated loudness of ITU-R BS.1770-4; None where the clip is shorter than 0.4 s or below its gate."""
    silent_share: float
    """Share of 20 ms blocks whose RMS is below ``SILENCE_DB``; 1 for no samples at all."""

    @property
    def is_silent(self) -> bool:
        """Whether the highest peak is below ``SILENCE_DB``."""
        return self.peak_db < SILENCE_DB


def loudness(waveform: Float[Tensor, "1 L"], sample_rate: int) -> Loudness:
    """Levels of a mono clip."""
    if not waveform.numel():
        return Loudness(_LOWEST_DB, _LOWEST_DB, None, 1.0)
    block = max(1, round(_BLOCK_SECONDS * sample_rate))
    blocks = torch.nn.functional.pad(waveform[0].double(), (0, -waveform.shape[1] % block)).reshape(-1, block)
    rms = blocks.square().mean(dim=1).sqrt()
    return Loudness(
        peak_db=_decibels(waveform.abs().max()),
        rms_db=_decibels(waveform.double().square().mean().sqrt()),
        lufs=_integrated(waveform, sample_rate),
        silent_share=(rms < 10 ** (SILENCE_DB / 20)).double().mean().item(),
    )


def _integrated(waveform: Tensor, sample_rate: int) -> float | None:
    if waveform.shape[1] < _LUFS_BLOCK_SECONDS * sample_rate:
        return None
    value = torchaudio.functional.loudness(waveform, sample_rate).item()
    # Nothing above the gate gives the mean of nothing: NaN.
    return value if value > _LOWEST_DB else None


def _decibels(amplitude: Tensor) -> float:
    return 20 * amplitude.clamp_min(10 ** (_LOWEST_DB / 20)).log10().item()
