"""Figures of sound, and pages that hold them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vab.metrics.spectra import FLOOR_DB, log_mel
from vab.shapes import Float, Tensor

MOST_CLASSES = 12
"""Rows of a timeline."""
_LOUDEST_DB = -20.0
"""A band of sound that is not a pure tone has little of full scale."""
_SOUND_IMAGE: dict[str, Any] = {"origin": "lower", "aspect": "auto", "cmap": "magma"}


def draw_spectrogram(axes: Any, waveform: Float[Tensor, "1 L"], sample_rate: int, *, title: str) -> None:
    """Mel spectrogram over seconds on matplotlib axes."""
    seconds = waveform.shape[1] / sample_rate
    extent = (0, seconds, 0, sample_rate / 2000)
    level = log_mel(waveform, sample_rate).numpy()
    axes.imshow(level, extent=extent, vmin=FLOOR_DB, vmax=_LOUDEST_DB, **_SOUND_IMAGE)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_ylabel("mel, to kHz", fontsize=8)
    axes.tick_params(labelsize=7)


def draw_sound(waveform: Float[Tensor, "1 L"], sample_rate: int, onsets: Sequence[float]) -> bytes:
    """A PNG of a sound: its waveform with lines at the onsets, in seconds, and its spectrogram."""
    figure, axes = new_figure(2, width=8.0, row_height=1.4)
    seconds = waveform.shape[1] / sample_rate
    num_columns = min(waveform.shape[1], 1200)
    if num_columns:
        # The highest and the lowest sample of each column are what would be seen of all.
        columns = [waveform[None].float(), -waveform[None].float()]
        high, low = (F.adaptive_max_pool1d(each, num_columns)[0, 0].numpy() for each in columns)
        places = torch.linspace(0, seconds, num_columns).numpy()
        axes[0].fill_between(places, -low, high, color="#30507a", linewidth=0)
    axes[0].vlines(list(onsets), -1, 1, color="#c2410c", linewidth=1.2)
    axes[0].set_xlim(0, seconds or 1)
    axes[0].set_ylim(-1, 1)
    axes[0].set_title(f"waveform, {len(onsets)} onsets", loc="left", fontsize=9)
    axes[0].tick_params(labelsize=7)
    draw_spectrogram(axes[1], waveform, sample_rate, title="spectrogram")
    axes[1].set_xlabel("seconds", fontsize=8)
    return png(figure, dpi=100)


def draw_timeline(
    probabilities: Float[Tensor, "times classes"],
    names: Sequence[str],
    *,
    every: float,
    seconds: float,
    sound: Float[Tensor, "1 L"] | None,
    sample_rate: int,
    title: str,
) -> bytes:
    """A PNG: the classes that are likeliest anywhere, the likeliest at the top, under a file's sound where it has any.

    Args:
        probabilities: one row for each ``every`` seconds.
        names: of the classes.
        every: seconds a row stands for.
        seconds: length of the file.
        sound: at ``sample_rate``.
        sample_rate: of the sound.
        title: of the picture.
    """
    shown = probabilities.max(dim=0).values.topk(min(MOST_CLASSES, len(names))).indices.tolist()
    figure, axes = new_figure(1 if sound is None else 2, row_height=2.4)
    if sound is not None:
        draw_spectrogram(axes[0], sound, sample_rate, title=title)
        axes[0].set_xlim(0, seconds)
    below = axes[-1]
    extent = (0, len(probabilities) * every, len(shown) - 0.5, -0.5)
    style = {"aspect": "auto", "interpolation": "nearest", "cmap": "viridis"}
    image = below.imshow(probabilities[:, shown].T.numpy(), extent=extent, vmin=0, vmax=1, **style)
    below.set_xlim(0, seconds)
    below.set_yticks(range(len(shown)), [names[number] for number in shown], fontsize=7)
    below.tick_params(axis="x", labelsize=7)
    below.set_xlabel("seconds", fontsize=8)
    figure.colorbar(image, ax=below, label="probability", pad=0.01)
    if sound is None:
        below.set_title(title, loc="left", fontsize=9)
    return png(figure, dpi=110)


def draw_layout(layout: Float[Tensor, "M C"], rate: float, frames: np.ndarray | None = None) -> bytes:
    """A PNG of an audio layout: time to the right, frequency upwards, the louder the brighter.

    Args:
        layout: from 0 to 1.
        rate: rows a second.
        frames: of the clip, [F, height, width, 3], to be shown above.
    """
    figure, axes = new_figure(1 if frames is None else 2, row_height=1.8 if frames is None else 1.3)
    rows, bands = layout.shape
    seconds = rows / rate
    if frames is not None:
        strip = np.concatenate(list(frames), axis=1)
        axes[0].imshow(strip, aspect="auto", extent=(0, seconds, 0, 1))
        axes[0].set_axis_off()
    extent = (0, seconds, 0, bands)
    axes[-1].imshow(layout.T.numpy(), extent=extent, vmin=0, vmax=1, interpolation="nearest", **_SOUND_IMAGE)
    axes[-1].set_xlabel("seconds", fontsize=8)
    axes[-1].set_ylabel("band", fontsize=8)
    return png(figure, dpi=100)


def new_figure(num_rows: int, *, width: float = 10.0, row_height: float = 1.8) -> tuple[Any, Any]:
    """A figure with rows of axes, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, row_height * num_rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(num_rows, 1, squeeze=False)[:, 0]


def png(figure: Any, *, dpi: int) -> bytes:
    """A figure as a file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    return content.getvalue()


def data_url(content: bytes, media_type: str) -> str:
    """A file inside a page."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def html_page(title: str, style: str, body: str) -> str:
    """A page that needs no other file."""
    head = f"<meta charset=utf-8><title>{title}</title><style>{style}</style>"
    return f"<!doctype html><html lang=en>{head}{body}</html>\n"
