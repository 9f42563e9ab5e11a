"""A classifier over time: probabilities in windows of a clip of any length."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vab.models.vab.classifier import VABClassifier
from vab.shapes import Float, Int, Tensor
from vab.windows import Windows


@torch.inference_mode()
def window_probabilities(
    model: VABClassifier,
    codes: Int[Tensor, "K S"] | None,
    visual: Float[Tensor, "F E"] | None,
    windows: Windows,
    starts: Sequence[float],
    *,
    batch_size: int = 16,
) -> Float[Tensor, "windows classes"]:
    """Probabilities of every class in each window, on the CPU.

    Audio and frames of a window begin together, where a codec step and a visual frame do; a clip shorter than a
    window is one window. ``codes`` and ``visual`` are of the whole clip, ``starts`` in seconds.
    """
    points = [windows.point(start) for start in starts]
    pieces = {}
    if codes is not None and model.config.modality != "visual":
        steps = [windows.grid.step("codes", point) for point in points]
        pieces["codes"] = _cut(codes.T, steps, windows.num_steps).transpose(1, 2)
    if visual is not None and model.config.modality != "audio":
        frames = [windows.grid.step("clip", point) for point in points]
        pieces["visual"] = _cut(visual, frames, windows.num_frames)
    device = model.head.weight.device
    batches = zip(*(each.split(batch_size) for each in pieces.values()), strict=True)
    logits = [
        model(**{name: each.to(device) for name, each in zip(pieces, batch, strict=True)})
        for batch in batches
    ]
    return torch.cat(logits).sigmoid().float().cpu()


def _cut(values: Tensor, starts: Sequence[int], length: int) -> Tensor:
    """Windows [n, length, numbers] of [time, numbers], moved back where they would leave it."""
    length = min(length, len(values))
    firsts = [min(start, len(values) - length) for start in starts]
    return torch.stack([values[first : first + length] for first in firsts])
