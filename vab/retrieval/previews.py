"""What a found clip looks and sounds like: a small MP4 that every browser plays, a frame, a spectrogram."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vab import media
from vab.pictures import draw_spectrogram, new_figure, png
from vab.shapes import Float, Tensor

FPS = 12
HEIGHT = 180
SAMPLE_RATE = 16000


@dataclass(frozen=True)
class Preview:
    """Small files, as bytes."""

    clip: bytes
    """MP4, or WAV where there are no frames."""
    clip_type: str
    """Its media type."""
    thumbnail: bytes | None
    """JPEG of the middle frame; None = no frames."""
    spectrogram: bytes | None
    """PNG; None = no audio."""


def make_preview(file: Path, start: float, seconds: float) -> Preview:
    """Decode a stretch of a file and write it small.

    Raises:
        MediaError: the file cannot be read.
    """
    info = media.probe(file)
    sound = media.read_audio(file, SAMPLE_RATE, start=start, duration=seconds) if info.audio else None
    frames = None
    if info.video:
        batches = media.iter_frames(file, FPS, start=start, duration=seconds, max_size=HEIGHT)
        frames = np.concatenate([_even(batch) for batch in batches])
    with tempfile.TemporaryDirectory() as folder:
        if frames is not None:
            clip, clip_type = Path(folder) / "clip.mp4", "video/mp4"
            media.write_clip(clip, frames, FPS, sound, SAMPLE_RATE)
        else:
            assert sound is not None
            clip, clip_type = Path(folder) / "clip.wav", "audio/wav"
            media.write_audio(clip, [sound], SAMPLE_RATE)
        return Preview(
            clip.read_bytes(),
            clip_type,
            None if frames is None else _jpeg(frames[len(frames) // 2]),
            None if sound is None or not sound.shape[1] else _spectrogram(sound),
        )


def _even(frames: np.ndarray) -> np.ndarray:
    """Sides that H.264 takes."""
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]


def _jpeg(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _spectrogram(sound: Float[Tensor, "1 L"]) -> bytes:
    figure, [axes] = new_figure(1, width=4.0, row_height=1.1)
    draw_spectrogram(axes, sound, SAMPLE_RATE, title="")
    return png(figure, dpi=80)
