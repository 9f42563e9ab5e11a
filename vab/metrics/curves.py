"""Curves over time (level, brightness, novelty) and how two of them compare (TiVA, MM 2024; MaskVAT, ECCV 2024)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from vab.metrics.onsets import CURVE_RATE
from vab.shapes import Float, Tensor

_CENTROID_WINDOW = 2048
"""Samples."""
_KERNEL_SECONDS = 0.5
"""Reach of the novelty curve's checkerboard to either side."""


def wasserstein_seconds(first: Float[Tensor, " T"], second: Float[Tensor, " U"]) -> float:
    """Seconds by which onset strength has to move, on average, to turn one curve into the other.

    The first Wasserstein distance of the curves as distributions over time, each of mass 1, so blind to loudness.
    A curve that is zero throughout has nothing to move: 0 to another such, else the length of the clip, the worst.
    """
    _check_same_length(first, second)
    a, b = first.double(), second.double()
    if not (a.sum() > 0 and b.sum() > 0):
        return 0.0 if a.sum() == b.sum() else len(first) / CURVE_RATE
    return ((a / a.sum() - b / b.sum()).cumsum(0).abs().sum() / CURVE_RATE).item()


def dtw_distance(first: Float[Tensor, " T"], second: Float[Tensor, " U"]) -> float:
    """Dynamic time warping of the curves, each divided by its maximum: root of the best path's summed squares.

    Steps are one forward in either or both. The path may linger, so a constant shift costs nearly nothing: read it
    beside :func:`wasserstein_seconds`.
    """
    if not len(first) or not len(second):
        raise ValueError("an empty curve cannot be warped")
    a, b = ((curve.double() / (curve.max().item() or 1)).numpy() for curve in (first, second))
    # Cells whose indices sum to ``total`` depend on the two antidiagonals before them only: each is one array step.
    last = np.full(len(a) + 1, np.inf)
    before_last = last.copy()
    before_last[0] = 0.0
    for total in range(len(a) + len(b) - 1):
        rows = np.arange(max(0, total - len(b) + 1), min(total, len(a) - 1) + 1)
        now = np.full(len(a) + 1, np.inf)
        best = np.minimum(np.minimum(last[rows], last[rows + 1]), before_last[rows])
        now[rows + 1] = (a[rows] - b[total - rows]) ** 2 + best
        before_last, last = last, now
    return float(np.sqrt(last[len(a)]))


def novelty(features: Float[Tensor, "T E"], *, rate: float) -> Float[Tensor, " t"]:
    """How much each moment parts what is before it from what is after it; peaks at changes (Foote, ICME 2000).

    A checkerboard with Gaussian taper, half a second to either side, runs along the diagonal of the features' cosine
    self-similarity. Only where it fits: value i is the boundary before row i + radius. At its ends every clip changes,
    and two clips would correlate by that alone. Empty where it fits nowhere.

    Args:
        features: one row a moment.
        rate: moments a second.
    """
    radius = max(1, round(_KERNEL_SECONDS * rate))
    if len(features) < 2 * radius:
        return torch.zeros(0, dtype=torch.float64)
    offsets = torch.arange(-radius, radius, dtype=torch.float64) + 0.5
    side = offsets.sign() * torch.exp(-0.5 * (offsets / (radius / 2)).square())
    unit = F.normalize(features.double(), dim=1)
    # The checkerboard is an outer product, so the sum over it is the squared length of one weighted sum of rows: no
    # [T, T] matrix is needed.
    return F.conv1d(unit.T[:, None], side[None, None])[:, 0].square().sum(dim=0)


def level_curve(waveform: Float[Tensor, "1 L"], sample_rate: int, *, rate: float) -> Float[Tensor, " T"]:
    """RMS of a sound around each of ``rate`` moments a second, over one moment to either side."""
    hop = round(sample_rate / rate)
    padded = F.pad(waveform[0], (hop, hop))
    return padded.unfold(0, 2 * hop, hop).square().mean(dim=1).sqrt()


def brightness_curve(waveform: Float[Tensor, "1 L"], sample_rate: int, *, rate: float) -> Float[Tensor, " T"]:
    """Natural logarithm of the spectral centroid in Hz (plus 1) around each of ``rate`` moments a second."""
    window = torch.hann_window(_CENTROID_WINDOW)
    hop = round(sample_rate / rate)
    spectrum = torch.stft(waveform[0], _CENTROID_WINDOW, hop, window=window, return_complex=True).abs()
    hertz = torch.linspace(0, sample_rate / 2, len(spectrum))[:, None]
    return ((spectrum * hertz).sum(dim=0) / (spectrum.sum(dim=0) + 1e-6) + 1).log()


def correlation(first: Float[Tensor, " T"], second: Float[Tensor, " U"]) -> float:
    """Pearson correlation of two curves in [-1, 1]; of two constant ones 1, of one constant one 0."""
    _check_same_length(first, second)
    a, b = (curve.double() - curve.double().mean() for curve in (first, second))
    flat = [bool(curve.abs().max() <= 1e-9) for curve in (a, b)]
    if any(flat):
        return float(all(flat))
    return (a @ b / (a.norm() * b.norm())).clamp(-1, 1).item()


def _check_same_length(first: Tensor, second: Tensor) -> None:
    if len(first) != len(second):
        raise ValueError(f"curves of {len(first)} and {len(second)} values; cut the clips to one length")
