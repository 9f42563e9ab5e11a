"""How much the codec alone costs: its reconstruction beside Opus at the bit rate nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from tasks.console import track
from tasks.demo.benchmark.systems import decode_one, encode_one, num_codebooks
from vab import media
from vab.metrics.spectra import log_mel_distance, loudest_log_mel_distance
from vab.pipeline import Pipeline
from vab.shapes import Float, Tensor


def distances(
    waveforms: Sequence[Float[Tensor, "1 L"]], truths: Sequence[Float[Tensor, "1 L"]], sample_rate: int
) -> dict[str, float]:
    """Means over clips, all in dB: ``log_mel``, ``loudest_log_mel`` and ``si_sdr``."""
    pairs = list(zip(waveforms, truths, strict=True))
    return {
        "log_mel": float(np.mean([log_mel_distance(*pair, sample_rate) for pair in pairs])),
        "loudest_log_mel": float(np.mean([loudest_log_mel_distance(*pair, sample_rate) for pair in pairs])),
        "si_sdr": float(
            np.mean([scale_invariant_signal_distortion_ratio(*pair).mean().item() for pair in pairs])
        ),
    }


def beside_opus(
    coded: Sequence[Float[Tensor, "1 L"]], truths: Sequence[Float[Tensor, "1 L"]], pipeline: Pipeline
) -> dict[str, dict[str, float]]:
    """:func:`distances` and bit rate of the codec's reconstruction and of Opus's."""
    rate = pipeline.codec.sample_rate
    opus = [media.through_opus(truth, rate) for truth in track(truths, "Opus")]
    config = pipeline.model.config
    bits = config.frame_rate * num_codebooks(pipeline) * float(np.log2(config.codebook_size))
    opus_bits = float(np.mean([bits for _, bits in opus]))
    return {
        "codec": {"bits_per_second": bits, **distances(coded, truths, rate)},
        "opus": {
            "bits_per_second": opus_bits,
            **distances([sound for sound, _ in opus], truths, rate),
        },
    }


def by_codebooks(truths: Sequence[Float[Tensor, "1 L"]], pipeline: Pipeline) -> list[dict[str, Any]]:
    """:func:`distances` of reconstructions from the first codebook, the first two, and so on."""
    codes = [encode_one(truth, pipeline) for truth in track(truths, "codebooks")]
    rows = []
    for count in range(1, num_codebooks(pipeline) + 1):
        sounds = [
            decode_one(each[:count], truth.shape[1], pipeline)
            for each, truth in zip(codes, truths, strict=True)
        ]
        rows.append({"codebooks": count, **distances(sounds, truths, pipeline.codec.sample_rate)})
    return rows
