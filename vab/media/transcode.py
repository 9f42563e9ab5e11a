"""Encode a video's frames anew: for containers that cannot hold them as they are, and for parts of a video."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer

from vab.media.container import frames_from, nothing_decodes
from vab.media.probe import stand_upright

CLOCK = Fraction(1, 90_000)
# Near to transparent. Without B-frames packets leave in the order of the frames.
SETTINGS = {
    "libx264": {"crf": "18", "preset": "medium", "bf": "0"},
    "libvpx-vp9": {"crf": "28", "b": "0", "deadline": "good", "cpu-used": "4", "lag-in-frames": "0"},
}


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
