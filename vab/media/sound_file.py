"""Audio alone: written as WAV and FLAC of 16 bits, MP3, M4A, and taken through Opus."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
import torch

from vab.errors import MediaError
from vab.media.audio import regroup
from vab.media.encode import (
    COMMON_RATE,
    FAST_AAC,
    add_audio_stream,
    checked_blocks,
    encode_blocks,
    encoder_rate,
    open_output,
    resample_blocks,
)
from vab.shapes import Float, Tensor

CODECS = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".m4a": "aac"}
AUDIO_SUFFIXES = tuple(CODECS)
SETTINGS: dict[str, dict[str, Any]] = {
    "pcm_s16le": {"format": "s16"},
    "flac": {"format": "s16"},
    "libmp3lame": {"bit_rate": 192_000},
    "aac": {"bit_rate": 192_000, "options": FAST_AAC},
}
LEAST_BITS_A_SECOND = 6000
"""The least Opus is made for (RFC 6716, section 2.1.1)."""


def write_audio(
    path: str | Path,
    waveform: Float[Tensor, "C L"] | Iterable[Float[Tensor, "C L"]],
    sample_rate: int,
    *,
    on_complete: Callable[[], None] | None = None,
) -> None:
    """Write ``waveform`` [C, L] in [-1, 1], one or two channels, or pieces of it in order.

    The suffix chooses the format; MP3 and M4A are resampled where they lack the rate. The file appears only when
    complete; ``on_complete`` is called just before.

    Raises:
        MediaError: the suffix is none of ``CODECS``, or the file cannot be written.
        ValueError: the waveform is not as described.
    """
    path = Path(path)
    codec_name = CODECS.get(path.suffix.lower())
    if codec_name is None:
        raise MediaError(f"{path}: sound alone is written as one of {' '.join(CODECS)}; change the suffix")
    num_channels, blocks = checked_blocks(waveform)
    rate = encoder_rate(codec_name, sample_rate)
    blocks = resample_blocks(blocks, num_channels, sample_rate, rate)
    with open_output(path, "check the folder and the disk", on_complete=on_complete) as output:
        stream = add_audio_stream(output, codec_name, rate, num_channels, **SETTINGS[codec_name])
        for packet in encode_blocks(stream, regroup(blocks, rate)):
            output.mux_one(packet)


def through_opus(waveform: Float[Tensor, "1 L"], sample_rate: int) -> tuple[Float[Tensor, "1 L"], float]:
    """The sound after Opus at a variable rate around the least, and the bits a second it took without container."""
    samples = soxr.resample(waveform[0].numpy(), sample_rate, COMMON_RATE)
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=COMMON_RATE, layout="mono")
        stream.bit_rate = LEAST_BITS_A_SECOND
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate = COMMON_RATE
        packets = [*stream.encode(frame), *stream.encode(None)]
        num_bytes = sum(packet.size for packet in packets)
        container.mux(packets)
    file.seek(0)
    with av.open(file, "r") as container:
        resampler = av.AudioResampler("flt", "mono", COMMON_RATE)
        pieces = [
            piece.to_ndarray()[0]
            for decoded in container.decode(audio=0)
            for piece in resampler.resample(decoded)
        ]
    back = soxr.resample(np.concatenate(pieces), COMMON_RATE, sample_rate)
    num_samples = waveform.shape[1]
    fitted = np.pad(back, (0, max(0, num_samples - len(back))))[:num_samples]
    return torch.from_numpy(fitted)[None], num_bytes * 8 * sample_rate / num_samples
