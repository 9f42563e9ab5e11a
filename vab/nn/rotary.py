"""Rotary positions in seconds: queries and keys turned by their time, so that scores know time differences alone."""

from __future__ import annotations

import math

import torch

from vab.shapes import Float, Tensor


def rotate(
    x: Float[Tensor, "B H N d"],
    times: Float[Tensor, " N"],
    *,
    shortest_period: float = 0.04,
    longest_period: float = 400.0,
) -> Float[Tensor, "B H N d"]:
    """Turn pairs of numbers (i, i + d/2) by 2 pi time / period (Su et al. 2021, with seconds for indices).

    Sequences of any rates share one measure: a codec step and a frame of the same moment are turned alike.

    Args:
        x: queries or keys; d is even.
        times: of the positions, in seconds.
        shortest_period: seconds of a whole turn of the first pair; the default is two steps of a codec at 50 a second.
        longest_period: of the last pair; between the two the periods are a geometric series.
    """
    half = x.shape[-1] // 2
    ratio = longest_period / shortest_period
    periods = shortest_period * ratio ** (
        torch.arange(half, dtype=torch.float64, device=x.device) / max(1, half - 1)
    )
    # Whole turns are taken off in float64: in float32 a late time over a short period has no fraction left.
    turns = (times.double()[:, None] / periods).remainder(1.0)
    angle = (2 * math.pi * turns).float()
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
