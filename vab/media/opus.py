"""Sound through Opus and back: the yardstick of codecs."""

from __future__ import annotations

import io

import av
import numpy as np
import soxr
import torch

from vab.shapes import Float, Tensor

LEAST_BITS_A_SECOND = 6000
"""The least Opus is made for (RFC 6716, section 2.1.1)."""
OPUS_RATE = 48_000


def through_opus(
    waveform: Float[Tensor, "1 L"], sample_rate: int, *, bit_rate: int = LEAST_BITS_A_SECOND
) -> tuple[Float[Tensor, "1 L"], float]:
    """The sound after Opus at a variable rate around ``bit_rate``, and the bits a second it took without container."""
    samples = soxr.resample(waveform[0].numpy(), sample_rate, OPUS_RATE)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=OPUS_RATE, layout="mono")
        stream.bit_rate = bit_rate
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
