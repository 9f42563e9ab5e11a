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
    batch_size: int,
) -> Float[Tensor, "windows classes"]:
    """Probabilities of every class in each window, on the CPU.

    Audio and frames of a window begin together, where a codec step and a visual frame do; a clip shorter than a
    window is one window.

    Args:
        model: the classifier.
        codes: of the whole clip, where the model takes audio.
        visual: of the whole clip, where the model takes frames.
        windows: how long they are.
        starts: of each, in seconds.
        batch_size: windows a model pass.
    """
    config = model.config
    points = [windows.point(start) for start in starts]
    codes = _cut(
        codes if config.modality != "visual" else None,
        [windows.grid.step("codes", point) for point in points],
        windows.num_steps,
    )
    frames = _cut(
        None if visual is None or config.modality == "audio" else visual.T,
        [windows.grid.step("clip", point) for point in points],
        windows.num_frames,
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
