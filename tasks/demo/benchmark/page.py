"""The benchmark's page: its table, and clips to see and hear."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.demo.benchmark.material import BenchmarkClip
from tasks.demo.benchmark.scores import SHOWN
from tasks.demo.picture import draw_clip
from tasks.demo.world import SAMPLE_RATE
from vab import media
from vab.files import write_atomically
from vab.pictures import data_url, html_page
from vab.shapes import Float, Tensor

NUM_CLIPS = 18
SOUNDS = ("true", "codec", "generated")


def write_page(
    out: Path,
    clips: Sequence[BenchmarkClip],
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
        rows = dict(zip(SOUNDS, sounds, strict=True))
        draw_clip(picture, clip.video, clip.truth["captions"][0], rows, clip.event_times.tolist())
        parts.append(
            f"<h2>{html.escape(clip.truth['captions'][0])}</h2>"
            f'<img src="{data_url(picture.read_bytes(), "image/png")}" alt="">'
            + "".join(
                f"<p>{name} {_player(out, f'{index:02d}-{name}', sound)}</p>" for name, sound in rows.items()
            )
        )
    page = out / "benchmark.html"
    numbers = html.escape(json.dumps(document, indent=1))
    style = "body{font:15px sans-serif;max-width:1000px;margin:2em auto}img{width:100%}audio{width:80%}"
    write_atomically(
        page,
        html_page(
            "Foley world",
            style,
            f"<h1>Foley world: true, coded, generated</h1>{_table(document['systems'])}{''.join(parts)}"
            f"<details><summary>all numbers</summary><pre>{numbers}</pre></details>",
        ),
    )
    return page


def _table(systems: dict[str, dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{row[column]:.3f}</td>" for column in SHOWN)
        + "</tr>"
        for name, row in systems.items()
    )
    head = "".join(f"<th>{title}</th>" for title in SHOWN.values())
    return f"<table border=1 cellpadding=5><tr><th></th>{head}</tr>{rows}</table>"


def _player(out: Path, name: str, sound: Float[Tensor, "1 L"]) -> str:
    file = out / "pictures" / f"{name}.flac"
    media.write_audio(file, [sound], SAMPLE_RATE)
    return f'<audio controls src="{data_url(file.read_bytes(), "audio/flac")}"></audio>'
