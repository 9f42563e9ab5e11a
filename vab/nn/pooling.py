"""Features of a sequence to one vector a clip."""

from __future__ import annotations

import math

import torch
from torch import nn

from vab.shapes import Bool, Float, Tensor

WAVE_SECONDS = 10.0
"""Period of the slowest wave of a ``TimedPool``; wave m has this over m."""


def mean_pool(features: Float[Tensor, "B N D"], is_valid: Bool[Tensor, "B N"]) -> Float[Tensor, "B D"]:
    """Mean over the real positions, float32; zero for a clip that has none."""
    weights = is_valid[:, :, None].float()
    total = features.float().masked_fill(~is_valid[:, :, None], 0.0).sum(dim=1)
    return total / weights.sum(dim=1).clamp_min(1)


class TimedPool(nn.Module):
    """Mean over the real positions, in which each number is weighted by its own learnt function of time.

    A plain mean forgets when things happen, and attention that knows distances alone can hardly tell it: two clips of
    one hammer that strikes at other moments come out alike. A function of time is 1 plus waves of random strength at
    first; the fastest has a period of ``WAVE_SECONDS / num_waves``. In clips longer than ``WAVE_SECONDS`` it repeats.
    """

    def __init__(self, width: int, num_waves: int) -> None:
        super().__init__()
        strengths = torch.randn(1 + 2 * num_waves, width) / math.sqrt(num_waves)
        strengths[0] = 1.0
        self.strengths = nn.Parameter(strengths)

    def forward(
        self, features: Float[Tensor, "B N D"], is_valid: Bool[Tensor, "B N"], times: Float[Tensor, " N"]
    ) -> Float[Tensor, "B D"]:
        """One vector a clip, float32; ``times`` are the positions' seconds from the start."""
        with torch.autocast(features.device.type, enabled=False):
            wave = torch.arange(1, len(self.strengths) // 2 + 1, device=times.device)
            angle = times[:, None] * wave * (2 * math.pi / WAVE_SECONDS)
            waves = torch.cat([torch.ones_like(times)[:, None], angle.cos(), angle.sin()], dim=1)
            return mean_pool(features.float() * (waves @ self.strengths.float()), is_valid)
