"""What every writer here needs: audio checked, resampled and encoded, in a file that appears when complete."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
import torch
from av.container import OutputContainer

from vab.errors import MediaError
from vab.files import complete_file
from vab.shapes import Float, Tensor

LAYOUTS = {1: "mono", 2: "stereo"}
# The clock of every Opus stream, whatever rate it is fed, and a rate that every codec here has.
COMMON_RATE = 48_000
# FFmpeg's default search puts noise for sound and overshoots peaks; on real clips this one comes 5 dB or
# more closer to the waveform at every rate tried.
FAST_AAC = {"aac_coder": "fast"}


def checked_blocks(
    waveform: Float[Tensor, "C L"] | Iterable[Float[Tensor, "C L"]],
) -> tuple[int, Iterator[np.ndarray]]:
    """Number of channels, and the sound as float32 blocks [C, l] in [-1, 1].

    Raises:
        ValueError: there is nothing, not one or two channels, their number changes, or a value is not
            finite. Blocks after the first are judged when they are drawn.
    """
    pieces = iter([waveform] if isinstance(waveform, torch.Tensor) else waveform)
    first = next(pieces, None)
    if first is None:
        raise ValueError("the waveform holds no sound: an empty iterable instead of pieces [C, L]")
    if first.ndim != 2 or first.shape[0] not in LAYOUTS:
        raise ValueError(f"waveform must be [1 or 2 channels, samples], not {list(first.shape)}")
    num_channels = first.shape[0]
    blocks = chain([_checked(first, num_channels)], (_checked(piece, num_channels) for piece in pieces))
    return num_channels, blocks


def _checked(piece: Tensor, num_channels: int) -> np.ndarray:
    if piece.ndim != 2 or piece.shape[0] != num_channels:
        raise ValueError(f"waveform began with {num_channels} channels and goes on as {list(piece.shape)}")
    samples = piece.detach().cpu().to(torch.float32).numpy()
    if not np.isfinite(samples).all():
        raise ValueError("waveform is not finite: it holds NaN or infinity; look at what made it")
    return samples.clip(-1, 1)


def encoder_rate(codec_name: str, sample_rate: int) -> int:
    """The sound's own rate where the codec has it or takes any, else 48 kHz; always 48 kHz for Opus."""
    rates = av.Codec(codec_name, "w").audio_rates or [sample_rate]
    return sample_rate if sample_rate in rates and codec_name != "libopus" else COMMON_RATE


def resample_blocks(
    blocks: Iterator[np.ndarray], num_channels: int, source_rate: int, target_rate: int
) -> Iterator[np.ndarray]:
    """Blocks [C, l] at another rate, without seams."""
    if source_rate == target_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(source_rate, target_rate, num_channels, dtype="float32", quality="VHQ")
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block.T)).T.clip(-1, 1)
    yield resampler.resample_chunk(np.zeros((0, num_channels), np.float32), last=True).T.clip(-1, 1)


def resample(
    pieces: Iterable[Float[Tensor, "C l"]], source_rate: int, target_rate: int
) -> Iterator[Float[Tensor, "C l"]]:
    """Pieces of one sound at another rate, without seams; as many samples as the time they take, to one."""
    num_channels, blocks = checked_blocks(pieces)
    for block in resample_blocks(blocks, num_channels, source_rate, target_rate):
        yield torch.from_numpy(np.ascontiguousarray(block))


def add_audio_stream(
    container: OutputContainer, codec_name: str, sample_rate: int, num_channels: int, **settings: Any
) -> Any:
    """Add a sound stream whose clock ticks once a sample."""
    stream = container.add_stream(codec_name, rate=sample_rate, layout=LAYOUTS[num_channels], **settings)
    stream.time_base = Fraction(1, sample_rate)
    return stream


def encode_blocks(stream: Any, blocks: Iterator[np.ndarray]) -> Iterator[av.Packet]:
    """Encode float32 blocks [C, l] as one run of sound that begins at time zero."""
    position = 0
    # Not the stream's own clock, which a container may change to milliseconds once its header is written.
    clock = Fraction(1, stream.rate)
    for block in blocks:
        if not block.shape[1]:
            continue
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", stream.layout.name)
        frame.sample_rate, frame.time_base, frame.pts = stream.rate, clock, position
        position += block.shape[1]
        yield from stream.encode(frame)
    yield from stream.encode(None)


def decoding_time(packet: av.Packet) -> float:
    """Seconds at which a packet to write is decoded."""
    assert packet.dts is not None, "packets to write carry times"
    return float(packet.dts * packet.time_base)


@contextmanager
def open_output(
    out: Path, remedy: str, *, on_complete: Callable[[], None] | None = None, **settings: Any
) -> Iterator[OutputContainer]:
    """PyAV's container to fill, with its ``settings``; ``out`` appears when it is complete, after ``on_complete``.

    Raises:
        MediaError: the folder cannot be made, the path is a folder, or FFmpeg fails, which ``remedy`` helps.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{out}: its folder cannot be made ({error.strerror}); choose another") from error
    if out.is_dir():
        raise MediaError(f"{out}: is a folder; name a file inside it")
    with complete_file(out) as partial:
        try:
            with av.open(str(partial), "w", **settings) as output:
                yield output
            if on_complete:
                on_complete()
        except av.FFmpegError as error:
            raise MediaError(f"{out}: cannot be written ({error.strerror}); {remedy}") from error
