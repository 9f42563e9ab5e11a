"""The page of an evaluation: the ten best and the ten worst clips, with players and spectrograms."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from urllib.parse import quote

from vab.files import write_atomically
from vab.media import VIDEO_SUFFIXES
from vab.metrics.evaluation import ClipReport, Report
from vab.metrics.pairing import PairedSound
from vab.metrics.scorer import SOUND_RATE
from vab.pictures import data_url, draw_spectrogram, html_page, new_figure, png

_NUM_SHOWN = 10
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
article { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; border-top: 1px solid #ddd; padding: 1rem 0 }
article > * { min-width: 0 } h3, .numbers { grid-column: 1 / -1; margin: 0 }
td { padding-right: 1.5em }
video, audio, img { width: 100% } video { max-height: 18rem; background: #000 } .numbers { color: #666 }
"""


def write_page(path: Path, report: Report, *, rank_by: str | None) -> None:
    """Write a page; media are linked, relative to it, pictures are inside.

    With a metric of the set to rank by, or None, the first clips stand in their order.
    """
    body = "".join(
        f"<h2>{escape(title)}</h2>" + "".join(_article(clip, path.parent) for clip in chosen)
        for title, chosen in _groups(report, rank_by).items()
        if chosen
    )
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{number.value:.4g}<td>"
        f"{'' if number.interval is None else f'± {number.interval:.2g}'}"
        f"<td>{escape(number.column.unit)}<td>{number.num_clips} clips"
        for name, number in report.numbers.items()
    )
    write_atomically(
        path,
        html_page(
            "Generated audio",
            _STYLE,
            f"<h1>Generated audio</h1><p>{len(report.clips)} of {report.num_expected} clips measured</p>"
            f"<table>{rows}</table>{body}",
        ),
    )


def _groups(report: Report, rank_by: str | None) -> dict[str, list[ClipReport]]:
    ranked = [clip for clip in report.clips if rank_by in clip.numbers]
    if rank_by is None or not ranked:
        return {"Clips": list(report.clips[:_NUM_SHOWN])}
    sign = -1.0 if report.numbers[rank_by].column.higher_is_better else 1.0
    ranked.sort(key=lambda clip: sign * clip.numbers[rank_by])
    num_worst = min(_NUM_SHOWN, max(0, len(ranked) - _NUM_SHOWN))
    return {
        f"Best by {rank_by}": ranked[:_NUM_SHOWN],
        f"Worst by {rank_by}": ranked[len(ranked) - num_worst :][::-1],
    }


def _article(clip: ClipReport, folder: Path) -> str:
    numbers = " · ".join(f"{escape(name)} {value:.3g}" for name, value in clip.numbers.items())
    return (
        f"<article><h3>{escape(clip.pair.id)}</h3><p class=numbers>{numbers}</p>"
        f"<div>generated{_player(clip.pair.generated, folder)}</div>"
        f"<div>true{_player(clip.pair.reference.path, folder)}</div>"
        f'<img alt="spectrograms" style="grid-column: 1 / -1" src="{_picture(clip)}">'
        "</article>"
    )


def _player(path: Path, folder: Path) -> str:
    tag = "video" if path.suffix.lower() in VIDEO_SUFFIXES else "audio"
    link = quote(os.path.relpath(path.absolute(), folder.absolute()))
    return f'<{tag} controls preload="metadata" src="{link}"></{tag}>'


def _picture(clip: ClipReport) -> str:
    sound = PairedSound(clip.pair)
    figure, axes = new_figure(2, width=11, row_height=1.5)
    draw_spectrogram(axes[0], sound.generated(SOUND_RATE), SOUND_RATE, title="generated")
    draw_spectrogram(axes[1], sound.reference(SOUND_RATE), SOUND_RATE, title="true")
    return data_url(png(figure, dpi=70), "image/png")
