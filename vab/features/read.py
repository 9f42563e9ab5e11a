"""Decode one clip for extraction: what the worker processes run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vab.errors import MediaError
from vab.features.manifest import Clip
from vab.media import iter_frames, probe, read_audio

Require = Literal["both", "audio", "visual", "any"]
"""Which modalities a clip must have."""

CUT_TOLERANCE_SECONDS = 1.0
"""How much a downloader's cut may miss the length it was meant to have."""


@dataclass(frozen=True)
class ReadRequest:
    """A clip and the rates at which it is wanted."""

    clip: Clip
    sample_rate: int
    visual_fps: float
    clip_seconds: float
    """Longest stretch to read."""
    image_size: int
    """The shorter side of frames is shrunk to this, as the encoder would do."""
    require: Require = "any"


@dataclass(frozen=True)
class DecodedClip:
    """What there is of a clip, unpadded; never both parts None."""

    waveform: np.ndarray | None
    """float32 [1, L]; None = the file has no sound."""
    frames: np.ndarray | None
    """uint8 [F, height, width, 3]; None = the file has no pictures."""


def read_clip(request: ReadRequest) -> DecodedClip:
    """Read sound and pictures of the same stretch of time.

    It ends with the clip, after ``clip_seconds`` or with the file's pictures (its sound where it has none),
    whichever is first; sound that stops before that is followed by silence.

    Raises:
        MediaError: the file cannot be read, ends before the clip starts, or lacks what is required.
    """
    clip = request.clip
    info = probe(clip.path)
    if request.require in ("both", "audio"):
        info.require_audio()
    if request.require in ("both", "visual"):
        info.require_video()
    start = 0.0 if clip.may_be_cut and _is_cut(clip, info.duration) else clip.start
    seconds = min(clip.duration or request.clip_seconds, request.clip_seconds, info.duration - start)
    if seconds <= 0:
        raise MediaError(
            f"{clip.path}: ends at {info.duration:.2f} s, before the clip's start at {start:g} s"
        )
    waveform = frames = None
    if info.audio:
        waveform = np.asarray(read_audio(clip.path, request.sample_rate, start=start, duration=seconds))
        if not np.isfinite(waveform).all():
            raise MediaError(f"{clip.path}: its sound holds values that are not finite")
    if info.video:
        batches = iter_frames(
            clip.path, request.visual_fps, start=start, duration=seconds, max_size=request.image_size
        )
        frames = np.concatenate(list(batches))
    return DecodedClip(waveform, frames)


def _is_cut(clip: Clip, file_seconds: float) -> bool:
    """Whether a file is the clip itself: as short as it, or too short to be what it was cut from."""
    seconds = clip.duration or 0.0
    return (
        file_seconds <= seconds + CUT_TOLERANCE_SECONDS
        or file_seconds < clip.start + seconds - CUT_TOLERANCE_SECONDS
    )
