"""What codec and tower learn from: audio and captioned frames of a corpus, decoded once and kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tasks.demo.kept import kept_arrays
from tasks.demo.training.options import SyncOptions
from tasks.demo.training.sync import SyncClips
from tasks.demo.training.tower import FrameCaptions
from tasks.demo.world import frame_captions
from tasks.demo.world.truth import visible_state
from vab import media, timing
from vab.visual.s3d import S3DConfig

CLIP_SECONDS = 10.0


def clip_files(out: Path, split: str, num_clips: int | None = None) -> list[Path]:
    """The first videos of a split of the corpus."""
    return sorted((out / "corpus" / split).glob("*.mp4"))[:num_clips]


def waveforms(out: Path, split: str, sample_rate: int, num_clips: int | None = None) -> np.ndarray:
    """Audio of a split's first clips, int16 [clips, L], memory-mapped."""

    def of(clip: Path) -> np.ndarray:
        sound = media.read_audio(clip, sample_rate, duration=CLIP_SECONDS)[0].numpy()
        return np.clip(sound * 32768, -32768, 32767).astype(np.int16)

    path = out / "cache" / f"waveforms-{split}.npy"
    return kept_arrays(path, f"audio of {split}", clip_files(out, split, num_clips), of)


def captioned_frames(
    out: Path, split: str, size: int, frames_per_second: float, num_clips: int | None = None
) -> FrameCaptions:
    """Frames of a split's first clips at the tower's size, with captions and state from the ground truth."""
    num_frames = timing.num_frames(CLIP_SECONDS, frames_per_second)

    def of(clip: Path) -> np.ndarray:
        return np.concatenate(
            list(media.iter_frames(clip, frames_per_second, duration=CLIP_SECONDS, max_size=size))
        )

    clips = clip_files(out, split, num_clips)
    truths = [json.loads(clip.with_suffix(".json").read_text()) for clip in clips]
    return FrameCaptions(
        kept_arrays(out / "cache" / f"frames-{split}.npy", f"frames of {split}", clips, of),
        timing.frame_times(num_frames, frames_per_second).numpy(),
        lambda index, time, generator: frame_captions(truths[index], time, generator),
        lambda index, time: visible_state(truths[index], time),
    )


def sync_clips(
    out: Path,
    split: str,
    config: S3DConfig,
    options: SyncOptions,
    sample_rate: int,
    num_clips: int | None = None,
) -> SyncClips:
    """Frames and audio of a split's first clips, at the rate and size of a network that is to tell offsets."""

    def of(clip: Path) -> np.ndarray:
        pieces = media.iter_frames(clip, config.fps, duration=CLIP_SECONDS, max_size=config.resized)
        return np.concatenate(list(pieces))

    clips = clip_files(out, split, num_clips)
    return SyncClips(
        kept_arrays(out / "cache" / f"sync-frames-{split}.npy", f"frames of {split}", clips, of),
        waveforms(out, split, sample_rate, num_clips),
        round(sample_rate / config.fps),
        timing.num_frames(options.piece_seconds, config.fps),
        options.max_offset,
    )
