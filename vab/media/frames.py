"""Frames of a video at a steady rate, streamed: each is the picture on display at its moment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vab.media.container import frames_from, nothing_decodes
from vab.media.probe import probe, quarter_turns, stand_upright, upright_size
from vab.timing import num_frames

# Bicubic with its filter widened on shrinking is what CLIP's own preprocessing does; full chroma and
# accurate rounding keep odd sizes and flat colours exact.
SCALING = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
)
# Timestamps are rounded to the container's clock; a picture due at the very moment counts as shown.
TICK_SECONDS = 1e-6


def iter_frames(
    path: str | Path,
    fps: float,
    *,
    start: float = 0.0,
    duration: float | None = None,
    max_size: int | None = None,
    batch_size: int = 64,
) -> Iterator[np.ndarray]:
    """Yield a video's frames at ``fps`` in batches, upright, uint8 RGB [n, height, width, 3].

    Frame f is the picture on display ``start + (f + 0.5) / fps`` seconds after time zero, by presentation
    time; the first picture also stands before its time and the last is held to the end. Memory does not
    grow with the length of the video. Pixels are taken as square and transparency is dropped.

    Args:
        path: a file with video.
        fps: frames per second to give, whatever the video's own rate.
        start: seconds from time zero at which to begin.
        duration: seconds to cover, by default to the end of the video; the number of frames is
            :func:`vab.timing.num_frames` of it. May reach past the end.
        max_size: shrink, keeping the shape, until the shorter side is at most this many pixels.
        batch_size: frames in each batch but the last.

    Raises:
        MediaError: the file cannot be read, has no video, or nothing of it decodes.
        ValueError: an argument is out of range.
    """
    if fps <= 0 or start < 0 or batch_size < 1 or (max_size is not None and max_size < 1):
        raise ValueError(
            "fps, max_size and batch_size must be positive and start not negative, not "
            f"fps={fps}, max_size={max_size}, batch_size={batch_size}, start={start}"
        )
    path = Path(path)
    if duration is None:
        duration = probe(path).require_video().duration - start
    if duration <= 0:
        raise ValueError(f"{path}: nothing to show: {duration:.3f} s are left after start={start}")
    times = (start + (index + 0.5) / fps for index in range(num_frames(duration, fps)))
    return _batches(path, times, max_size, batch_size)


def _batches(
    path: Path, times: Iterator[float], max_size: int | None, batch_size: int
) -> Iterator[np.ndarray]:
    batch: list[np.ndarray] = []
    for image in _images_at(path, times, max_size):
        batch.append(image)
        if len(batch) == batch_size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def _images_at(path: Path, times: Iterator[float], max_size: int | None) -> Iterator[np.ndarray]:
    """The picture on display at each of the rising ``times``."""
    converter = _Converter(max_size)
    wanted: float | None = next(times)
    assert wanted is not None, "there is always one frame"
    on_display = None
    for seconds, frame in frames_from(path, "video", wanted):
        while wanted is not None and on_display is not None and wanted < seconds - TICK_SECONDS:
            yield converter.image(on_display)
            wanted = next(times, None)
        if wanted is None:
            return
        on_display = frame
    if on_display is None:
        raise nothing_decodes(path, "video")
    while wanted is not None:
        yield converter.image(on_display)
        wanted = next(times, None)


class _Converter:
    """Decoded frames to upright RGB, all in the size of the first, each converted once."""

    def __init__(self, max_size: int | None) -> None:
        self.max_size = max_size
        self.size: tuple[int, int] | None = None
        self.reformatter = VideoReformatter()
        self.latest: tuple[Any, np.ndarray] | None = None

    def image(self, frame: Any) -> np.ndarray:
        """Upright RGB picture [height, width, 3] of a frame."""
        if self.latest is None or self.latest[0] is not frame:
            self.latest = (frame, self._convert(frame))
        return self.latest[1]

    def _convert(self, frame: Any) -> np.ndarray:
        if self.size is None:
            self.size = _shrink(*upright_size(frame), self.max_size)
        # The scaler works on the picture as stored, so a picture on its side is scaled to swapped sides.
        width, height = self.size[::-1] if quarter_turns(frame) % 2 else self.size
        rgb = self.reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=SCALING, threads=1
        )
        return stand_upright(rgb.to_ndarray(), frame)


def _shrink(width: int, height: int, max_size: int | None) -> tuple[int, int]:
    """Width and height with the shorter side at most ``max_size``; never less than a pixel."""
    scale = 1.0 if max_size is None else min(1.0, max_size / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
