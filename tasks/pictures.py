"""Figures of sound, and pages that hold them, that every task shares."""

from __future__ import annotations

import base64
import io
from typing import Any

from vab.metrics.spectra import FLOOR_DB, log_mel
from vab.shapes import Float, Tensor

_LOUDEST_DB = -20.0
"""A band of sound that is not a pure tone has little of full scale."""


def draw_spectrogram(axes: Any, waveform: Float[Tensor, "1 L"], sample_rate: int, *, title: str) -> None:
    """Mel spectrogram over seconds on matplotlib axes."""
    seconds = waveform.shape[1] / sample_rate
    axes.imshow(
        log_mel(waveform, sample_rate).numpy(),
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, sample_rate / 2000),
        cmap="magma",
        vmin=FLOOR_DB,
        vmax=_LOUDEST_DB,
    )
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_ylabel("mel, to kHz", fontsize=8)
    axes.tick_params(labelsize=7)


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
