"""Pictures of sound that every task shares."""

from __future__ import annotations

from typing import Any

import torchaudio

from vab.shapes import Float, Tensor

FLOOR_DB = -80.0


def log_mel(waveform: Float[Tensor, "1 L"], sample_rate: int, *, num_mels: int = 80) -> Float[Tensor, "M T"]:
    """Mel power in dB below full scale, hop 10 ms, never under ``FLOOR_DB``."""
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate, n_fft=1024, hop_length=sample_rate // 100, n_mels=num_mels, normalized="window"
    )
    return 10 * transform(waveform[0]).clamp_min(10 ** (FLOOR_DB / 10)).log10()


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
        vmax=0,
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
