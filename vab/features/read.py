"""Decode one clip for extraction: what the worker processes run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vab.errors import MediaError
from vab.features.makers import AudioInput, FramesInput
from vab.features.manifest import Clip
from vab.media import iter_frames, probe, read_audio

Require = Literal["both", "audio", "visual", "any"]
"""Which modalities a clip must have."""

CUT_TOLERANCE_SECONDS = 1.0
"""How much a downloader's cut may miss the length it was meant to have."""


@dataclass(frozen=True)
class ReadRequest:
    """A clip and what is wanted of it."""

    clip: Clip
    inputs: tuple[AudioInput | FramesInput, ...]
    clip_seconds: float
    """Longest stretch to read."""
    require: Require = "any"


DecodedClip = dict[AudioInput | FramesInput, np.ndarray]
"""What there is of a clip, unpadded: float32 [1, L] or uint8 [F, height, width, 3]; inputs that the file lacks are
left out."""


def read_clip(request: ReadRequest) -> DecodedClip:
    """Read audio and frames of the same stretch of time.

    It ends with the clip, after ``clip_seconds`` or with the file's frames (its sound where it has none),
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
    start = start_in_file(clip, info.duration)
    seconds = min(clip.duration or request.clip_seconds, request.clip_seconds, info.duration - start)
    if seconds <= 0:
        raise MediaError(
            f"{clip.path}: ends at {info.duration:.2f} s, before the clip's start at {start:g} s"
        )
    decoded: DecodedClip = {}
    for wanted in request.inputs:
        if isinstance(wanted, AudioInput) and info.audio:
            waveform = read_audio(clip.path, wanted.sample_rate, start=start, duration=seconds)
            decoded[wanted] = np.asarray(waveform)
            if not np.isfinite(decoded[wanted]).all():
                raise MediaError(f"{clip.path}: its sound holds values that are not finite")
        elif isinstance(wanted, FramesInput) and info.video:
            batches = iter_frames(
                clip.path, wanted.fps, start=start, duration=seconds, max_size=wanted.image_size
            )
            decoded[wanted] = np.concatenate(list(batches))
    return decoded


def start_in_file(clip: Clip, file_seconds: float) -> float:
    """Where a clip begins: 0 in a file as short as the clip, or too short to be what it was cut from."""
    seconds = clip.duration or 0.0
    is_cut = clip.may_be_cut and (
        file_seconds <= seconds + CUT_TOLERANCE_SECONDS
        or file_seconds < clip.start + seconds - CUT_TOLERANCE_SECONDS
    )
    return 0.0 if is_cut else clip.start
