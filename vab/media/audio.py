"""Sound of a file as mono at a steady rate, streamed and aligned with the frames' time zero."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from vab.errors import MediaError
from vab.media.container import frames_from, nothing_decodes, open_input, require_stream, warn_once
from vab.shapes import Float, Tensor
from vab.timing import num_samples

# Sound decoded before the wanted start: codecs and the resampling filter need a moment to settle, and
# Opus asks for 80 ms. Also read on past the end, so that a piece equals the same piece of the whole.
SETTLE_SECONDS = 0.5
# A packet whose time differs from the end of the one before by more than this is a true gap or overlap;
# less is rounding in the container's clock, and mending it would click.
GAP_SECONDS = 0.02
# Silence that all gaps of a file together may take; more is damage, and an hour of samples in memory.
MAX_SILENCE_SECONDS = 3600
# What sound is stored at, with a wide margin. At 1 Hz a small file would last for days.
MIN_RATE, MAX_RATE = 1_000, 768_000
# Fold-down of ITU-R BS.775 to stereo, then the mean of left and right: the centre reaches both sides, so
# it counts 0.707 twice; surrounds 0.707 once; the effects channel is left out, as in every player. A plain
# mean would bury the speech of a 5.1 film under its often silent other channels.
CHANNEL_WEIGHTS = {"FL": 1.0, "FR": 1.0, "DL": 1.0, "DR": 1.0, "FC": 2**0.5, "LFE": 0.0, "LFE2": 0.0}
OTHER_CHANNEL_WEIGHT = 0.5**0.5
# A decoder of lossy sound overshoots by a few dB; what is stored as numbers does so only when made wrong.
MAX_LOSSY_PEAK, MAX_STORED_PEAK = 2.0, 1.01
# NumPy's names for FFmpeg's sample formats.
SAMPLE_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


@dataclass(frozen=True)
class SampleFaults:
    """What is wrong with a file's samples, which :func:`read_audio` silences and clips."""

    num_not_finite: int
    num_overloaded: int
    """Beyond full scale, by more than a lossy decoder overshoots."""
    peak: float
    """Of all finite samples; full scale is 1."""


def read_audio(
    path: str | Path, sample_rate: int, *, start: float = 0.0, duration: float | None = None
) -> Float[Tensor, "1 L"]:
    """Read a file's sound as mono at ``sample_rate``: float32 [1, L] in [-1, 1].

    Sample 0 sounds ``start`` seconds after time zero of the file, where its first picture stands too;
    sound that begins later is preceded by silence. With ``duration`` the result has exactly
    ``num_samples(duration, sample_rate)`` samples, silence after the end of the sound; without, it ends
    where the sound does.

    Raises:
        MediaError: the file cannot be read, has no audio stream, nothing of it decodes, or its rate or its
            times are not those of sound.
        ValueError: an argument is out of range.
    """
    # One buffer that grows: joining a list of chunks would need room for all of them twice.
    samples = bytearray()
    for chunk in iter_audio(path, sample_rate, start=start, duration=duration):
        samples += chunk.numpy().tobytes()
    return torch.frombuffer(samples, dtype=torch.float32)[None] if samples else torch.zeros(1, 0)


def iter_audio(
    path: str | Path,
    sample_rate: int,
    *,
    start: float = 0.0,
    duration: float | None = None,
    chunk_seconds: float = 10.0,
) -> Iterator[Float[Tensor, "1 L"]]:
    """Yield what :func:`read_audio` returns in pieces of ``chunk_seconds``, the last one shorter.

    Memory does not grow with the length of the sound. The pieces are those of one resampling: put
    together they have no seams.
    """
    if sample_rate < 1 or start < 0 or chunk_seconds <= 0 or (duration is not None and duration < 0):
        raise ValueError(
            "sample_rate and chunk_seconds must be positive, start and duration not negative, not "
            f"sample_rate={sample_rate}, chunk_seconds={chunk_seconds}, start={start}, duration={duration}"
        )
    path = Path(path)
    chunk_length = max(1, num_samples(chunk_seconds, sample_rate))
    blocks = _resample(path, _stored_rate(path), sample_rate, start)
    if duration is not None:
        blocks = fit(blocks, num_samples(duration, sample_rate), chunk_length)
    # The resampling filter overshoots a little on sound at full scale.
    return (torch.from_numpy(chunk.clip(-1, 1))[None] for chunk in regroup(blocks, chunk_length))


def find_sample_faults(
    path: str | Path, *, start: float = 0.0, duration: float | None = None
) -> SampleFaults:
    """Count the samples that are not finite or overloaded, all channels, as they are stored.

    Raises:
        MediaError: as :func:`read_audio`.
    """
    path = Path(path)
    num_not_finite = num_overloaded = 0
    peak = 0.0
    end = math.inf if duration is None else start + duration
    with open_input(path) as container:
        codec_name = require_stream(container, path, "audio").codec_context.name
    limit = MAX_STORED_PEAK if codec_name.startswith("pcm_") else MAX_LOSSY_PEAK
    for seconds, frame in frames_from(path, "audio", start):
        _check_rate(frame.rate, path)
        if seconds >= end:
            break
        samples = _float_samples(frame)[:, max(0, round((start - seconds) * frame.rate)) :]
        if end < math.inf:
            samples = samples[:, : round((end - max(seconds, start)) * frame.rate)]
        sizes = np.abs(samples[np.isfinite(samples)])
        num_not_finite += samples.size - sizes.size
        num_overloaded += int((sizes > limit).sum())
        peak = max(peak, float(sizes.max(initial=0)))
    return SampleFaults(num_not_finite, num_overloaded, peak)


def _stored_rate(path: Path) -> int:
    """Samples per second that the decoder gives; the header of an HE-AAC file may say half of it."""
    with closing(frames_from(path, "audio")) as frames:
        first = next(frames, None)
    if first is None:
        raise nothing_decodes(path, "audio")
    _check_rate(first[1].rate, path)
    return first[1].rate


def _check_rate(rate: int, path: Path) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise MediaError(
            f"{path}: {rate:,} samples a second, which is not between {MIN_RATE:,} and {MAX_RATE:,}; "
            "convert it or copy it again"
        )


def _resample(path: Path, source_rate: int, sample_rate: int, start: float) -> Iterator[np.ndarray]:
    """Mono samples at ``sample_rate`` from ``start`` on, in blocks of whatever size comes."""
    # The two clocks meet ``common`` times a second. Beginning at such a moment, output sample n of any
    # piece stands exactly where output sample n of the whole file does.
    common = math.gcd(source_rate, sample_rate)
    meeting = max(0, int((start - SETTLE_SECONDS) * common))
    num_early = num_samples(start, sample_rate) - meeting * (sample_rate // common)
    resampler = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="VHQ")
    for block in _mono_blocks(path, source_rate, meeting * (source_rate // common)):
        resampled = resampler.resample_chunk(block)
        yield resampled[num_early:]
        num_early = max(0, num_early - len(resampled))
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)[num_early:]


def _mono_blocks(path: Path, rate: int, begin: int) -> Iterator[np.ndarray]:
    """Mono samples from source sample ``begin`` (counted from time zero) on, without gap or overlap."""
    position, num_silent = begin, 0
    following: int | None = None
    for seconds, samples in _mono_frames(path, rate, begin / rate):
        at = round(seconds * rate)
        if following is not None and abs(at - following) <= GAP_SECONDS * rate:
            at = following
        following = at + len(samples)
        num_silent += max(0, at - position)
        if num_silent > MAX_SILENCE_SECONDS * rate:
            raise MediaError(
                f"{path}: its sound has gaps of {num_silent / rate:,.0f} s; its times are damaged, or it is to be "
                "cut into parts"
            )
        while at > position:
            silence = np.zeros(min(at - position, rate), np.float32)
            yield silence
            position += len(silence)
        fresh = samples[position - at :]
        yield fresh
        position += len(fresh)


def _mono_frames(path: Path, rate: int, begin: float) -> Iterator[tuple[float, np.ndarray]]:
    """Time and mono samples of each frame; the last one without the encoder's padding."""
    held: tuple[float, Any] | None = None
    for timed in frames_from(path, "audio", begin):
        if held is not None:
            yield held[0], _to_mono(held[1], rate, path)
        held = timed
    if held is not None:
        seconds, frame = held
        samples = _to_mono(frame, rate, path)
        # An encoder fills its last block; the container says how much of it is real, to one tick of its clock.
        length, tick = frame.duration * frame.time_base * rate, frame.time_base * rate
        yield seconds, samples[: round(length)] if 0 < length < len(samples) - tick else samples


def _to_mono(frame: Any, rate: int, path: Path) -> np.ndarray:
    """Mono float32 samples of one decoded frame at the stream's ``rate``."""
    with np.errstate(invalid="ignore"):
        mono = _channel_weights(frame) @ _float_samples(frame)
    if not np.isfinite(mono).all():
        warn_once(f"{path}: its sound holds values that are not finite; they are made silent")
        mono = np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)
    if frame.rate != rate:
        _check_rate(frame.rate, path)
        warn_once(f"{path}: its sound changes from {rate} to {frame.rate} samples a second on the way")
        mono = soxr.resample(mono, frame.rate, rate)
    return mono


def _float_samples(frame: Any) -> np.ndarray:
    """Samples [C, l] of a decoded frame as float32, full scale 1."""
    samples = _stored_samples(frame)
    if samples.dtype == np.uint8:
        return samples.astype(np.float32) / 128 - 1
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    with np.errstate(over="ignore"):
        return samples.astype(np.float32, copy=False)


def _stored_samples(frame: Any) -> np.ndarray:
    """Samples [C, l] of a decoded frame as they are stored."""
    num_channels, dtype = frame.layout.nb_channels, SAMPLE_DTYPES[frame.format.packed.name]
    if not frame.format.is_planar:
        packed = np.frombuffer(frame.planes[0], dtype, count=frame.samples * num_channels)
        return packed.reshape(-1, num_channels).T
    # Beyond eight channels PyAV lists planes that do not exist; its own to_ndarray reads them and crashes.
    planes = frame.planes[:num_channels]
    return np.stack([np.frombuffer(plane, dtype, count=frame.samples) for plane in planes])


def _channel_weights(frame: Any) -> np.ndarray:
    """Share of each channel in the mono sound, summing to 1 so that nothing clips."""
    names = [channel.name for channel in frame.layout.channels]
    weights = np.array([CHANNEL_WEIGHTS.get(name, OTHER_CHANNEL_WEIGHT) for name in names], np.float32)
    return weights / weights.sum() if weights.any() else np.full(len(names), 1 / len(names), np.float32)


def fit(blocks: Iterator[np.ndarray], length: int, max_block: int) -> Iterator[np.ndarray]:
    """Cut blocks [..., l] or follow them with silence, so that ``length`` samples come out in all.

    Silence comes in blocks of at most ``max_block`` samples. Nothing is drawn from ``blocks`` once
    ``length`` is reached. Without a single block nothing is known of the other axes: [length].
    """
    shape: tuple[int, ...] = ()
    missing = length
    while missing > 0 and (block := next(blocks, None)) is not None:
        shape = block.shape[:-1]
        yield block[..., :missing]
        missing -= block.shape[-1]
    while missing > 0:
        yield np.zeros((*shape, min(missing, max_block)), np.float32)
        missing -= max_block


def regroup(blocks: Iterator[np.ndarray], chunk_length: int) -> Iterator[np.ndarray]:
    """Blocks of any size as chunks [..., chunk_length], the last one shorter."""
    waiting: list[np.ndarray] = []
    num_waiting = 0
    for block in blocks:
        waiting.append(block)
        num_waiting += block.shape[-1]
        if num_waiting < chunk_length:
            continue
        joined = np.concatenate(waiting, axis=-1)
        while joined.shape[-1] >= chunk_length:
            yield joined[..., :chunk_length]
            joined = joined[..., chunk_length:]
        waiting, num_waiting = [joined], joined.shape[-1]
    if num_waiting:
        yield np.concatenate(waiting, axis=-1)
