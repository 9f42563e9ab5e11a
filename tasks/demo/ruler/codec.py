"""How much the codec alone costs: its reconstruction beside Opus at the bit rate nearest to it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
import soxr
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from tasks.pictures import log_mel
from vab.shapes import Float, Tensor

OPUS_BITS_A_SECOND = 6000
"""The least Opus is made for (RFC 6716, section 2.1.1)."""
OPUS_RATE = 48_000
DISTANCE_FLOOR_DB = -60.0


def through_opus(waveform: Float[Tensor, "1 L"], sample_rate: int) -> tuple[Float[Tensor, "1 L"], float]:
    """The sound after Opus, and the bits a second it took, container not counted."""
    samples = soxr.resample(waveform[0].numpy(), sample_rate, OPUS_RATE)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=OPUS_RATE, layout="mono")
        stream.bit_rate = OPUS_BITS_A_SECOND
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate = OPUS_RATE
        packets = [*stream.encode(frame), *stream.encode(None)]
        num_bytes = sum(packet.size for packet in packets)
        container.mux(packets)
    file.seek(0)
    with av.open(file, "r") as container:
        resampler = av.AudioResampler("flt", "mono", OPUS_RATE)
        pieces = [
            piece.to_ndarray()[0]
            for decoded in container.decode(audio=0)
            for piece in resampler.resample(decoded)
        ]
    back = soxr.resample(np.concatenate(pieces), OPUS_RATE, sample_rate)
    num_samples = waveform.shape[1]
    fitted = np.pad(back, (0, max(0, num_samples - len(back))))[:num_samples]
    return torch.from_numpy(fitted)[None], num_bytes * 8 * sample_rate / num_samples


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
