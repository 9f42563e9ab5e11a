"""A sequence of one rate at the moments of another."""

from __future__ import annotations

import torch

from vab.shapes import Float, Tensor
from vab.timing import nearest_steps


def nearest_at(values: Tensor, rate: float, num_steps: int, step_rate: float) -> Tensor:
    """Values [B, M, ...] of ``rate`` a second at N steps of ``step_rate`` a second: [B, N, ...], nearest neighbours."""
    return values[:, nearest_steps(num_steps, step_rate, values.shape[1], rate).to(values.device)]


def sample_at(
    values: Float[Tensor, "B M ..."], rate: float, times: Float[Tensor, " N"]
) -> Float[Tensor, "B N ..."]:
    """Values, ``rate`` steps a second, at times in seconds from the start of the first step.

    Linear between the centres of two steps, constant beyond those of the first and the last.
    """
    position = (times * rate - 0.5).clamp(0, values.shape[1] - 1)
    first = position.floor().long()
    second = (first + 1).clamp(max=values.shape[1] - 1)
    share = (position - first).to(values.dtype).view(-1, *[1] * (values.ndim - 2))
    return torch.lerp(values[:, first], values[:, second], share.expand(values[:, first].shape))
