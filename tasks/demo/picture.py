"""One picture of a clip: its frames over the spectrograms of several sounds, events marked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.demo.world import SAMPLE_RATE
from vab import media
from vab.files import write_atomically
from vab.metrics.onsets import detect_onsets
from vab.pictures import draw_spectrogram, new_figure, png
from vab.shapes import Float, Tensor

NUM_PICTURES = 10
CAPTION_WIDTH = 120
"""Letters in a line; a title wider than the figure would leave no room for it."""


def draw_clip(
    path: Path,
    video: Path,
    caption: str,
    sounds: Mapping[str, Float[Tensor, "1 L"]],
    event_times: Sequence[float],
) -> None:
    """Write a PNG.

    Args:
        path: where to.
        video: the clip, for a strip of frames.
        caption: what is to be seen.
        sounds: title and waveform of each row, at the world's rate.
        event_times: seconds; white lines. Triangles are what the onset detector hears in each sound.
    """
    figure, (strip, *rows) = new_figure(1 + len(sounds))
    seconds = max(sound.shape[1] for sound in sounds.values()) / SAMPLE_RATE
    frames = np.concatenate(list(media.iter_frames(video, NUM_PICTURES / seconds, duration=seconds)))
    strip.imshow(
        np.concatenate(list(frames[:NUM_PICTURES]), axis=1), extent=(0, seconds, 0, 1), aspect="auto"
    )
    strip.set_yticks([])
    strip.set_title(textwrap.fill(caption, CAPTION_WIDTH), loc="left", fontsize=9)
    for axes, (title, sound) in zip(rows, sounds.items(), strict=True):
        draw_spectrogram(axes, sound, SAMPLE_RATE, title=title)
        for moment in event_times:
            axes.axvline(moment, color="white", linewidth=0.6, alpha=0.7)
        heard = detect_onsets(sound, SAMPLE_RATE).tolist()
        axes.plot(heard, [0.25] * len(heard), "^", color="cyan", markersize=4)
    rows[-1].set_xlabel("seconds; lines are the true events, triangles what begins in this sound", fontsize=8)
    write_atomically(path, png(figure, dpi=100))
