"""Open a file with PyAV, choose its streams, find its time zero, seek, and decode past damage."""

import functools
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import av
from av.container import InputContainer
from av.format import Flags

from vab.errors import MediaError

logger = logging.getLogger(__name__)

Kind = Literal["video", "audio"]

# FFmpeg draws any .txt or .nfo as a picture of a terminal.
TEXT_FORMATS = {"tty"}
# For a stream that tells neither times nor rate, as FFmpeg does.
NOMINAL_FPS = 25
# How far before the wanted time to try to land; None opens the file from its beginning.
SEEK_BACKS: tuple[float | None, ...] = (0.0, 2.0, 10.0, None)
# Digital silence in FLAC or Opus and a still picture in H.264 take 100 bytes a second or more, so a longer
# file of fewer holds times that are damaged or invented. A short one may: a GIF shows one picture for minutes.
MIN_BYTES_PER_SECOND, SHORT_SECONDS = 32, 600
# 8192 x 8192, four times an 8K video. A GIF of 100 bytes can announce a picture of a gigabyte.
LIMITS = {"max_pixels": str(2**26)}


@functools.lru_cache(maxsize=1024)
def warn_once(message: str) -> None:
    """Log a warning about a file once, however many times the file is opened."""
    logger.warning(message)


def check_readable(path: Path) -> None:
    """Raise :class:`MediaError` for what is no file with something in it, before FFmpeg sees it."""
    try:
        if path.is_dir():
            raise MediaError(f"{path}: is a folder; name a file inside it")
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
    except FileNotFoundError:
        raise MediaError(f"{path}: no such file; check the name and the folder") from None
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check the permissions") from error


@contextmanager
def open_input(path: Path) -> Iterator[InputContainer]:
    """Open ``path`` for reading; :class:`MediaError` in one line when it holds no sound or video."""
    check_readable(path)
    try:
        # An absolute name cannot be taken for an option or for a protocol ("12:30.mp4"), and undecodable
        # tags must not make a playable file unreadable.
        container = av.open(str(path.absolute()), "r", options=LIMITS, metadata_errors="replace")
    except PermissionError as error:
        raise MediaError(f"{path}: cannot be read (permission denied); check the permissions") from error
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{path}: not a sound or video file that FFmpeg can read, or its index is cut off or "
            "damaged; convert it or copy it again"
        ) from error
    with container:
        if container.format.name in TEXT_FORMATS:
            raise MediaError(f"{path}: is a text file; give a sound or video file")
        try:
            yield container
        except MemoryError as error:
            raise MediaError(f"{path}: needs more memory than there is; give a smaller file") from error


def find_stream(container: InputContainer, kind: Kind) -> Any:
    """The stream of that kind that a player would show or play, never a cover picture, or None."""
    candidates = [
        stream
        for stream in getattr(container.streams, kind)
        if stream.codec_context and not stream.disposition & av.stream.Disposition.attached_pic
    ]
    best = container.streams.best(kind)
    return best if best in candidates else next(iter(candidates), None)


def time_zero(container: InputContainer) -> float:
    """The moment a player calls zero, in seconds of the file's own clock.

    Every time in this package is measured from here, for frames and audio alike, so whatever offset the
    two streams have is kept. An MPEG-TS recording may start its clock at hours.
    """
    return (container.start_time or 0) / av.time_base


def require_stream(container: InputContainer, path: Path, kind: Kind) -> Any:
    """The stream of that kind, or :class:`MediaError` when there is none that can be decoded."""
    stream = find_stream(container, kind)
    if stream is None:
        raise no_stream(path, kind)
    return stream


def no_stream(path: Path, kind: Kind) -> MediaError:
    """The error for a file without sound or without frames."""
    wanted = "pictures" if kind == "video" else "sound"
    return MediaError(f"{path}: has no {kind} stream that can be decoded; give a file with {wanted}")


def nothing_decodes(path: Path, kind: Kind) -> MediaError:
    """The error for a stream of which not one frame can be decoded."""
    return MediaError(f"{path}: nothing of its {kind} stream can be decoded; convert it or copy it again")


def check_seconds(seconds: float, path: Path) -> None:
    """Raise :class:`MediaError` for a time that no file of this size reaches."""
    size = path.stat().st_size
    if seconds > SHORT_SECONDS + size / MIN_BYTES_PER_SECOND:
        raise MediaError(
            f"{path}: says that it lasts {seconds:,.0f} s, which its {size:,} bytes cannot hold; its times are "
            "damaged: copy or convert it again"
        )


def nominal_length(stream: av.VideoStream) -> float:
    """Seconds a picture stands where nothing says otherwise."""
    return float(1 / (stream.average_rate or NOMINAL_FPS))


def can_seek(container: InputContainer) -> bool:
    """Whether times after a seek can be believed; raw MP3, AAC or H.264 only guess them."""
    return not container.format.flags & cast(int, Flags.generic_index.value)


def frames_from(path: Path, kind: Kind, seconds: float = 0.0) -> Generator[tuple[float, Any], None, None]:
    """Decode one stream from a frame that starts at or before ``seconds``; yield (time, frame).

    Times count from time zero and frames come in presentation order. Seeks to the key frame before where
    the format allows, and goes further back, in the end to the beginning, when a seek lands too late.
    Damaged packets are skipped with one warning; a file that ends early gives what there is.

    Raises:
        MediaError: the file cannot be opened, has no such stream, or a frame's time is one it cannot reach.
    """
    for seek_back in SEEK_BACKS if seconds > 0 else (None,):
        with open_input(path) as container:
            stream = require_stream(container, path, kind)
            frames = decode(container, stream, path)
            if seek_back is None:
                yield from _timed(frames, container, stream, path, begin=0.0)
                return
            if not can_seek(container):
                continue
            try:
                container.seek(
                    int((time_zero(container) + seconds - seek_back) / stream.time_base), stream=stream
                )
            except (av.FFmpegError, OverflowError):
                continue
            timed = _timed(frames, container, stream, path, begin=None)
            first = next(timed, None)
            if first is not None and first[0] <= seconds:
                yield first
                yield from timed
                return


def read_packets(container: InputContainer, stream: Any, path: Path) -> Iterator[Any]:
    """Packets of one stream from here to the end of the file, or to where it cannot be read, with a warning."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except IndexError:
            # A stream that first appears in the middle of the file trips PyAV, not FFmpeg: read on.
            packets = container.demux(stream)
            continue
        except av.FFmpegError:
            warn_once(f"{path}: cannot be read to its end; copy it again if something is missing")
            return
        if packet is None:
            return
        # PyAV ends with an empty packet for each stream.
        if packet.size:
            yield packet


def decode(container: InputContainer, stream: Any, path: Path) -> Iterator[Any]:
    """Frames of one stream from here on, past damaged packets."""
    stream.codec_context.thread_type = "AUTO"
    if stream.type == "video":
        stream.codec_context.options = LIMITS
    num_damaged = 0
    # None last: the decoder gives up the frames that it still holds.
    for packet in chain(read_packets(container, stream, path), [None]):
        try:
            frames = stream.decode(packet)
        except av.EOFError:
            break
        except av.FFmpegError:
            num_damaged += 1
            continue
        for frame in frames:
            frame.time_base = stream.time_base
            yield frame
    if num_damaged:
        warn_once(f"{path}: {num_damaged} damaged or cut-off {stream.type} packets skipped")


def _timed(
    frames: Iterator[Any], container: InputContainer, stream: Any, path: Path, *, begin: float | None
) -> Iterator[tuple[float, Any]]:
    """Add to each frame its time, from ``begin`` on where it has none; stop where that is not known."""
    zero, following = time_zero(container), begin
    for frame in frames:
        timestamp = frame.dts if frame.pts is None else frame.pts
        # Raw streams carry no times at all: their frames follow each other at the stream's own rate.
        seconds = following if timestamp is None else float(timestamp * frame.time_base) - zero
        if seconds is None:
            return
        check_seconds(seconds, path)
        yield seconds, frame
        length = frame.samples / frame.rate if stream.type == "audio" else nominal_length(stream)
        following = seconds + length
