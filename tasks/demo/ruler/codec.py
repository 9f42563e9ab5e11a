"""How much the codec alone costs: its reconstruction beside Opus at the bit rate nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from tasks.console import progress_bar
from tasks.demo.ruler.systems import decode_one, encode_one, num_levels
from tasks.pictures import log_mel
from vab.pipeline import Pipeline
from vab.shapes import Float, Tensor

DISTANCE_FLOOR_DB = -60.0
LOUDEST = 0.1
"""Share of a clip's bands and frames that count as its loudest: texture fills the rest, and would hide what is lost
of a stroke."""


def distances(
    waveforms: Sequence[Float[Tensor, "1 L"]], truths: Sequence[Float[Tensor, "1 L"]], sample_rate: int
) -> dict[str, Any]:
    """Means over clips.

    Returns:
        ``log_mel`` in dB (L1 of 80 bands above -60 dB), ``loudest_log_mel``: the same where the true sound is loudest,
        and ``si_sdr`` in dB.
    """
    log_mels, loudest, ratios = [], [], []
    for ours, truth in zip(waveforms, truths, strict=True):
        mel, true_mel = (log_mel(sound, sample_rate).clamp_min(DISTANCE_FLOOR_DB) for sound in (ours, truth))
        difference = (mel - true_mel).abs()
        log_mels.append(difference.mean().item())
        chosen = true_mel.flatten().topk(int(LOUDEST * true_mel.numel())).indices
        loudest.append(difference.flatten()[chosen].mean().item())
        ratios.append(scale_invariant_signal_distortion_ratio(ours, truth).mean().item())
    return {
        "log_mel": float(np.mean(log_mels)),
        "loudest_log_mel": float(np.mean(loudest)),
        "si_sdr": float(np.mean(ratios)),
    }


def distances_by_level(truths: Sequence[Float[Tensor, "1 L"]], pipeline: Pipeline) -> list[dict[str, Any]]:
    """:func:`distances` of reconstructions from the first level, the first two, and so on: does each say something?"""
    with progress_bar("clips") as progress:
        codes = [encode_one(truth, pipeline) for truth in progress.track(truths, description="levels")]
        rows = []
        for count in range(1, num_levels(pipeline) + 1):
            sounds = [
                decode_one(each[:count], truth.shape[1], pipeline)
                for each, truth in zip(codes, truths, strict=True)
            ]
            rows.append({"levels": count, **distances(sounds, truths, pipeline.codec.sample_rate)})
    return rows
