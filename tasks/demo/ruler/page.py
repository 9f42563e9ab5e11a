"""The ruler's page: the table in words, and clips to see and hear."""

from __future__ import annotations

import base64
import html
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.demo.ruler.material import RulerClip
from tasks.demo.world import SAMPLE_RATE
from tasks.pictures import draw_spectrogram, new_figure
from vab import media
from vab.metrics.onsets import detect_onsets
from vab.shapes import Float, Tensor
from vab.weights import write_atomically

NUM_CLIPS = 18
NUM_PICTURES = 10
PICTURES_FPS = 1.0
CAPTION_WIDTH = 120
"""Letters in a line; a title wider than the figure would leave no room for it."""
SOUNDS = ("true", "codec", "generated")


def write_page(
    out: Path,
    clips: Sequence[RulerClip],
    coded: Sequence[Float[Tensor, "1 L"]],
    generated: Sequence[Float[Tensor, "1 L"]],
    document: dict[str, Any],
) -> Path:
    """Pictures and sounds of the first clips, one of each class, on one page that needs no other file."""
    parts = []
    for index, clip in enumerate(clips[:NUM_CLIPS]):
        sounds = (clip.waveform, coded[index], generated[index])
        picture = out / "pictures" / f"{index:02d}-{clip.label}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw_clip(picture, clip, *sounds)
        parts.append(
            f"<h2>{html.escape(clip.truth['captions'][0])}</h2>"
            f'<img src="data:image/png;base64,{_base64(picture)}" alt="">'
            + "".join(
                f"<p>{name} {_player(out, f'{index:02d}-{name}', sound)}</p>"
                for name, sound in zip(SOUNDS, sounds, strict=True)
            )
        )
    page = out / "ruler.html"
    numbers = html.escape(json.dumps(document, indent=1))
    style = "body{font:15px sans-serif;max-width:1000px;margin:2em auto}img{width:100%}audio{width:80%}"
    write_atomically(
        page,
        f"<!doctype html><meta charset=utf-8><title>Foley ruler</title><style>{style}</style>"
        f"<h1>Foley world: true, coded, generated</h1>{_table(document['systems'])}{''.join(parts)}"
        f"<details><summary>all numbers</summary><pre>{numbers}</pre></details>\n",
    )
    return page


def draw_clip(
    path: Path,
    clip: RulerClip,
    truth: Float[Tensor, "1 L"],
    coded: Float[Tensor, "1 L"],
    generated: Float[Tensor, "1 L"],
) -> None:
    """Frames over three spectrograms; white lines are true events, ticks below are what the detector hears."""
    figure, (strip, *rows) = new_figure(4)
    seconds = truth.shape[1] / SAMPLE_RATE
    frames = np.concatenate(list(media.iter_frames(clip.video, PICTURES_FPS, duration=seconds)))
    strip.imshow(
        np.concatenate(list(frames[:NUM_PICTURES]), axis=1), extent=(0, seconds, 0, 1), aspect="auto"
    )
    strip.set_yticks([])
    strip.set_title(textwrap.fill(clip.truth["captions"][0], CAPTION_WIDTH), loc="left", fontsize=9)
    for axes, sound, title in zip(rows, (truth, coded, generated), SOUNDS, strict=True):
        draw_spectrogram(axes, sound, SAMPLE_RATE, title=title)
        for moment in clip.event_times.tolist():
            axes.axvline(moment, color="white", linewidth=0.6, alpha=0.7)
        heard = detect_onsets(sound, SAMPLE_RATE).tolist()
        axes.plot(heard, [0.25] * len(heard), "^", color="cyan", markersize=4, clip_on=False)
    figure.savefig(path, dpi=90)


def _table(systems: dict[str, dict[str, Any]]) -> str:
    columns = ("f1_50ms", "f1_100ms", "loudness", "brightness", "class")
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{row[column]:.3f}</td>" for column in columns)
        + "</tr>"
        for name, row in systems.items()
    )
    head = "".join(f"<th>{column}</th>" for column in columns)
    return f"<table border=1 cellpadding=5><tr><th></th>{head}</tr>{rows}</table>"


def _player(out: Path, name: str, sound: Float[Tensor, "1 L"]) -> str:
    file = out / "pictures" / f"{name}.flac"
    media.write_audio(file, [sound], SAMPLE_RATE)
    return f'<audio controls src="data:audio/flac;base64,{_base64(file)}"></audio>'


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
