"""Frames of a video at a steady rate, streamed: each is the picture on display at its moment."""

from collections.abc import Iterator
from itertools import chain, islice
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
    return _batches(_images_at(path, times, max_size), batch_size)


def _batches(images: Iterator[np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
    while batch := list(islice(images, batch_size)):
        yield np.stack(batch)


def _images_at(path: Path, times: Iterator[float], max_size: int | None) -> Iterator[np.ndarray]:
    """The picture on display at each of the rising ``times``, upright, all in the size of the first."""
    first = next(times)
    shown = frames_from(path, "video", first)
    reformatter = VideoReformatter()
    size: tuple[int, int] | None = None
    image: np.ndarray | None = None
    on_display: Any = None
    following = next(shown, None)
    if following is None:
        raise nothing_decodes(path, "video")
    for time in chain([first], times):
        while following is not None and (on_display is None or following[0] - TICK_SECONDS <= time):
            on_display, following, image = following[1], next(shown, None), None
        if image is None:
            size = size or _shrink(*upright_size(on_display), max_size)
            # The scaler works on the picture as stored, so a picture on its side is scaled to swapped sides.
            width, height = size[::-1] if quarter_turns(on_display) % 2 else size
            rgb = reformatter.reformat(
                on_display, width=width, height=height, format="rgb24", interpolation=SCALING, threads=1
            )
            image = stand_upright(rgb.to_ndarray(), on_display)
        yield image


def _shrink(width: int, height: int, max_size: int | None) -> tuple[int, int]:
    """Width and height with the shorter side at most ``max_size``; never less than a pixel."""
    scale = 1.0 if max_size is None else min(1.0, max_size / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
