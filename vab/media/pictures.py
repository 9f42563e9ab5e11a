"""A video's frames into another container: copied packet by packet, or encoded anew where that cannot be."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from vab.errors import MediaError
from vab.media.container import (
    frames_from,
    nominal_length,
    nothing_decodes,
    read_packets,
    require_stream,
    time_zero,
)
from vab.media.probe import stand_upright

# Apple's players take HEVC only under this name; the muxer's own choice is hev1.
KEPT_CODEC_TAGS = {"hvc1"}
MOV_FAMILY = {"mov", "mp4", "ipod"}
# Tags in which one container describes itself; wrong in the next.
CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
CLOCK = Fraction(1, 90_000)
# Near to transparent. Without B-frames packets leave in the order of the frames.
SETTINGS = {
    "libx264": {"crf": "18", "preset": "medium", "bf": "0"},
    "libvpx-vp9": {"crf": "28", "b": "0", "deadline": "good", "cpu-used": "4", "lag-in-frames": "0"},
}


def copy_pictures(
    source: InputContainer, output: OutputContainer, video: Path, out: Path
) -> Iterator[av.Packet]:
    """Add a copy of the source's video stream and its tags to ``output``; return the packets to write.

    The packets come in decoding order, their times counted from the source's time zero. Draw them after
    the output's header is written.

    Raises:
        MediaError: there is no video stream, or the output's container cannot hold its codec; on drawing,
            when the packets carry no times.
    """
    stream = require_stream(source, video, "video")
    try:
        copy = output.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        raise MediaError(
            f"{video}: {stream.codec_context.name} video cannot be stored in {out.suffix}; "
            f"name the output {out.stem}.mkv, or encode the frames anew (--transcode)"
        ) from error
    copy.disposition = stream.disposition
    # Three things that the template leaves behind, where the source has them in its container alone.
    if stream.average_rate:
        copy.codec_context.framerate = stream.average_rate
    if stream.sample_aspect_ratio:
        copy.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio
    if stream.codec_context.codec_tag in KEPT_CODEC_TAGS and output.format.name in MOV_FAMILY:
        copy.codec_context.codec_tag = stream.codec_context.codec_tag
    copy.metadata.update(stream.metadata)
    output.metadata.update(
        {key: value for key, value in source.metadata.items() if key not in CONTAINER_TAGS}
    )
    packets = _with_decoding_times(read_packets(source, stream, video), stream, video)
    zero = round(time_zero(source) / stream.time_base)
    return (_moved(packet, copy, zero) for packet in _without_useless_tail(packets))


def _with_decoding_times(packets: Iterator[Any], stream: Any, video: Path) -> Iterator[Any]:
    """Matroska stores no decoding times: those before the first known one count back from it."""
    step = max(1, round(nominal_length(stream) / stream.time_base))
    waiting: list[Any] = []
    for packet in packets:
        if packet.pts is None and not stream.codec_context.has_b_frames:
            packet.pts = packet.dts
        if packet.pts is None:
            raise MediaError(f"{video}: its pictures carry no times; convert it to .mp4 first")
        if packet.dts is None:
            waiting.append(packet)
            continue
        yield from _count_back(waiting, packet.dts, step)
        waiting = []
        yield packet
    yield from _count_back(waiting, min((packet.pts for packet in waiting), default=0) + step, step)


def _count_back(packets: list[Any], following: int, step: int) -> Iterator[Any]:
    """Give packets decoding times that end one step before ``following``."""
    for index, packet in enumerate(packets):
        packet.dts = following - (len(packets) - index) * step
        yield packet


def _without_useless_tail(packets: Iterator[Any]) -> Iterator[Any]:
    """Drop frames that an edit list hides, or the file's end cuts off, unless others come after them."""
    held: list[Any] = []
    for packet in packets:
        held.append(packet)
        if not (packet.is_discard or packet.is_corrupt):
            yield from held
            held = []


def _moved(packet: Any, stream: Any, zero: int) -> Any:
    packet.pts, packet.dts, packet.stream = packet.pts - zero, packet.dts - zero, stream
    return packet


def encode_pictures(
    video: Path, output: OutputContainer, start: float, duration: float
) -> Iterator[av.Packet]:
    """Add a stream of the frames in ``[start, start + duration)`` to ``output``; return the packets to write.

    H.264, or VP9 in WebM; upright, each at its own time, odd sides cut by a pixel. Draw the packets after the output's
    header is written.

    Raises:
        MediaError: nothing of the frames can be decoded.
    """
    shown = _shown(video, start, duration)
    first = next(shown, None)
    if first is None:
        raise nothing_decodes(video, "video")
    codec_name = "libvpx-vp9" if output.format.name == "webm" else "libx264"
    stream: Any = output.add_stream(codec_name, options=dict(SETTINGS[codec_name]))
    stream.height, stream.width = first[2].shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = CLOCK
    return _encoded(stream, first, shown)


def _encoded(stream: Any, first: tuple[float, float, np.ndarray], others: Iterator[Any]) -> Iterator[Any]:
    lengths: deque[int] = deque()

    def timed(packets: list[Any]) -> Iterator[Any]:
        for packet in packets:
            packet.duration = lengths.popleft()
            yield packet

    for begin, end, image in chain([first], others):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = round(begin / CLOCK), CLOCK
        lengths.append(round(end / CLOCK) - frame.pts)
        yield from timed(stream.encode(frame))
    yield from timed(stream.encode(None))


def _shown(video: Path, start: float, duration: float) -> Iterator[tuple[float, float, np.ndarray]]:
    """Each picture on display in the stretch: from when, to when, counted from its start, and RGB with even sides."""
    held: tuple[float, Any] | None = None
    for seconds, frame in frames_from(video, "video", start):
        moment = seconds - start
        if held is not None and moment > held[0]:
            if moment >= duration:
                break
            yield held[0], moment, _image(held[1])
        held = (0.0 if held is None else max(0.0, moment)), frame
    if held is not None:
        yield held[0], duration, _image(held[1])


def _image(frame: Any) -> np.ndarray:
    image = stand_upright(frame.to_ndarray(format="rgb24"), frame)
    height, width = (max(2, side - side % 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[:height, :width])
