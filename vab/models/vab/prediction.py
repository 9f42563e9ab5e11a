"""A classifier over time: probabilities in windows of a clip of any length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from vab.features.grid import TimeGrid
from vab.models.vab.classifier import VABClassifier
from vab.shapes import Float, Int, Tensor
from vab.timing import num_frames, steps_begun


def tiled_starts(seconds: float, window_seconds: float) -> list[float]:
    """Where windows begin that lie side by side and cover a clip; the last is moved back to end with it."""
    count = max(1, math.ceil(round(seconds / window_seconds, 6)))
    return [min(i * window_seconds, max(0.0, seconds - window_seconds)) for i in range(count)]


def centred_starts(seconds: float, window_seconds: float, every: float) -> list[float]:
    """Where windows begin whose centres are ``every`` seconds apart, from ``every / 2``; none leaves the clip."""
    count = max(1, math.ceil(round(seconds / every, 6)))
    last = max(0.0, seconds - window_seconds)
    return [min(max(0.0, (i + 0.5) * every - window_seconds / 2), last) for i in range(count)]


@torch.inference_mode()
def window_probabilities(
    model: VABClassifier,
    codes: Int[Tensor, "K S"] | None,
    visual: Float[Tensor, "F E"] | None,
    starts: Sequence[float],
    *,
    window_seconds: float,
    batch_size: int,
) -> Float[Tensor, "windows classes"]:
    """Probabilities of every class in each window, on the CPU.

    Sound and pictures of a window begin together, where a codec step and a visual frame do; a clip shorter than a
    window is one window.

    Args:
        model: the classifier.
        codes: of the whole clip, where the model takes sound.
        visual: of the whole clip, where the model takes pictures.
        starts: of the windows, in seconds.
        window_seconds: their length.
        batch_size: windows a model pass.
    """
    config = model.config
    grid = TimeGrid.of({"codes": config.frame_rate, "clip": config.visual_fps})
    points = [int(start / float(grid.period) + 1e-6) for start in starts]
    codes = _cut(
        codes if config.modality != "visual" else None,
        [grid.step("codes", point) for point in points],
        steps_begun(window_seconds, config.frame_rate),
    )
    frames = _cut(
        None if visual is None or config.modality == "audio" else visual.T,
        [grid.step("clip", point) for point in points],
        num_frames(window_seconds, config.visual_fps),
    )
    device = model.head.weight.device
    results = []
    for first in range(0, len(starts), batch_size):
        rows = slice(first, first + batch_size)
        piece = None if codes is None else codes[rows].to(device)
        pictures = None if frames is None else frames[rows].transpose(1, 2).to(device)
        results.append(model(piece, pictures).sigmoid().float().cpu())
    return torch.cat(results)


def _cut(values: Tensor | None, starts: Sequence[int], length: int) -> Tensor | None:
    """Windows [n, rows, length] of [rows, time], moved back where they would leave it."""
    if values is None:
        return None
    length = min(length, values.shape[1])
    firsts = [min(start, values.shape[1] - length) for start in starts]
    return torch.stack([values[:, first : first + length] for first in firsts])
