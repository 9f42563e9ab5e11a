"""How much the codec alone costs: its reconstruction beside Opus at the bit rate nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from tasks.pictures import log_mel
from vab.shapes import Float, Tensor

DISTANCE_FLOOR_DB = -60.0


def distances(
    waveforms: Sequence[Float[Tensor, "1 L"]], truths: Sequence[Float[Tensor, "1 L"]], sample_rate: int
) -> dict[str, Any]:
    """Mean over clips: ``log_mel`` in dB (L1 of 80 bands above -60 dB) and ``si_sdr`` in dB."""
    log_mels, ratios = [], []
    for ours, truth in zip(waveforms, truths, strict=True):
        mels = [log_mel(sound, sample_rate).clamp_min(DISTANCE_FLOOR_DB) for sound in (ours, truth)]
        log_mels.append((mels[0] - mels[1]).abs().mean().item())
        ratios.append(scale_invariant_signal_distortion_ratio(ours, truth).mean().item())
    return {"log_mel": float(np.mean(log_mels)), "si_sdr": float(np.mean(ratios))}
