"""What a file holds: its streams, their size, orientation and rates, and how long it truly lasts."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer

from vab.errors import MediaError
from vab.media.container import (
    can_seek,
    check_seconds,
    decode,
    find_stream,
    no_stream,
    nominal_length,
    nothing_decodes,
    open_input,
    read_packets,
    time_zero,
    warn_once,
)

# A header that promises this much more than the file holds is worth a warning: the file was cut off.
MISSING_SECONDS = 0.5


@dataclass(frozen=True)
class VideoInfo:
    """The frames of a file; width and height are those of the upright picture, in stored pixels."""

    width: int
    height: int
    rotation: int
    """Degrees counter-clockwise by which the stored picture is turned to stand upright: 0, 90, 180 or 270."""
    average_fps: float
    codec: str
    """As FFmpeg names it, such as h264."""


@dataclass(frozen=True)
class AudioInfo:
    """The sound of a file as stored."""

    sample_rate: int
    channels: int


@dataclass(frozen=True)
class MediaInfo:
    """What :func:`probe` found."""

    path: Path
    duration: float
    """Seconds from time zero to the end of the last picture, or of the sound where there is no picture."""
    video: VideoInfo | None
    audio: AudioInfo | None

    def require_video(self) -> "MediaInfo":
        """Return itself; :class:`MediaError` when the file has no video stream."""
        if self.video is None:
            raise no_stream(self.path, "video")
        return self

    def require_audio(self) -> "MediaInfo":
        """Return itself; :class:`MediaError` when the file has no audio stream."""
        if self.audio is None:
            raise no_stream(self.path, "audio")
        return self


def probe(path: str | Path) -> MediaInfo:
    """Read what a file holds, believing its packets rather than its header.

    Cheap: one decoded picture and the packets of the last group of frames, unless the file is damaged
    or cannot seek; then all packets are read, none decoded.

    Raises:
        MediaError: the file is missing, empty, damaged beyond use or holds no sound or video, or lasts longer
            than its size allows.
    """
    path = Path(path)
    with open_input(path) as container:
        pictures, sound = find_stream(container, "video"), find_stream(container, "audio")
        if not pictures and not sound:
            raise MediaError(f"{path}: holds neither video nor sound; give a sound or video file")
        audio = AudioInfo(sound.codec_context.sample_rate, sound.codec_context.channels) if sound else None
        video = _video_info(container, pictures, path) if pictures else None
        return MediaInfo(path, _duration(container, pictures or sound, path), video, audio)


def _video_info(container: InputContainer, stream: Any, path: Path) -> VideoInfo:
    average_fps = float(stream.average_rate or 0)
    frame = next(decode(container, stream, path), None)
    if frame is None:
        raise nothing_decodes(path, "video")
    width, height = upright_size(frame)
    return VideoInfo(width, height, 90 * quarter_turns(frame), average_fps, stream.codec_context.name)


def _duration(container: InputContainer, stream: Any, path: Path) -> float:
    """Seconds from time zero to the end of the stream's last intact packet."""
    promised = _promised_end(container, stream)
    zero = time_zero(container)
    end = None
    if promised is not None and can_seek(container):
        with contextlib.suppress(av.FFmpegError, OverflowError):
            container.seek(int(promised / stream.time_base), stream=stream)
            end = _last_end(container, stream, path)
    if end is None:
        with open_input(path) as again:
            end = _last_end(again, again.streams[stream.index], path)
    if end is None or end <= zero:
        raise nothing_decodes(path, stream.type)
    check_seconds(end - zero, path)
    if promised is not None and promised - end > MISSING_SECONDS:
        warn_once(
            f"{path}: cut off, {end - zero:.2f} s of the {promised - zero:.2f} s it announces are there"
        )
    return end - zero


def _promised_end(container: InputContainer, stream: Any) -> float | None:
    """Where the header says that the stream ends, on the file's own clock."""
    if stream.duration is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if container.duration is not None:
        return ((container.start_time or 0) + container.duration) / av.time_base
    return None


def _last_end(container: InputContainer, stream: Any, path: Path) -> float | None:
    """End of the latest packet from here on, on the file's own clock; None when there is none."""
    tick = float(stream.time_base)
    nominal = nominal_length(stream) if stream.type == "video" else 0.0
    end = None
    num_untimed = 0
    for packet in read_packets(container, stream, path):
        if packet.is_corrupt or packet.is_discard:
            continue
        timestamp = packet.dts if packet.pts is None else packet.pts
        if timestamp is None:
            num_untimed += 1
            continue
        packet_end = timestamp * tick + (packet.duration * tick if packet.duration else nominal)
        end = packet_end if end is None else max(end, packet_end)
    if end is None and num_untimed:
        return num_untimed * nominal or None
    return end


def quarter_turns(frame: Any) -> int:
    """Quarter turns counter-clockwise, 0 to 3, that stand a stored frame upright."""
    return _orientation(frame)[0]


def upright_size(frame: Any) -> tuple[int, int]:
    """Width and height of a frame once it stands upright."""
    return (frame.height, frame.width) if quarter_turns(frame) % 2 else (frame.width, frame.height)


def stand_upright(image: np.ndarray, frame: Any) -> np.ndarray:
    """Turn and mirror ``image`` [height, width, 3], converted from ``frame``, as its display matrix says."""
    turns, is_mirrored = _orientation(frame)
    if is_mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, turns))


def _orientation(frame: Any) -> tuple[int, bool]:
    """Quarter turns counter-clockwise, and whether the picture is flipped left to right before them."""
    if "DISPLAYMATRIX" not in {data.type.name for data in frame.side_data}:
        return 0, False
    matrix = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), dtype=np.int32).reshape(3, 3)
    # A stored point (x, y), y downwards, is shown at (a x + c y, b x + d y).
    (a, b), (c, d) = matrix[:2, :2].tolist()
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, b = -a, -b
    degrees = np.degrees(np.arctan2(-b, a))
    return round(float(degrees) / 90) % 4, is_mirrored
