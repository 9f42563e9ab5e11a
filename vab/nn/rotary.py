"""Rotary positions in seconds: queries and keys turned by their time, so that scores know time differences alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from vab.shapes import Float, Tensor


@dataclass(frozen=True)
class Turns:
    """By how much each position is turned, computed once for all layers and steps."""

    cos: Float[Tensor, "N half"]
    sin: Float[Tensor, "N half"]

    @classmethod
    def at(
        cls,
        times: Float[Tensor, " N"],
        head_width: int,
        *,
        shortest_period: float = 0.04,
        longest_period: float = 400.0,
    ) -> Turns:
        """Pair i of a head of even width is turned by 2 pi time / period of i, all in seconds.

        Periods are a geometric series; the shortest is by default two steps of a codec at 50 a second.
        """
        half = head_width // 2
        ratio = longest_period / shortest_period
        periods = shortest_period * ratio ** (
            torch.arange(half, dtype=torch.float64, device=times.device) / max(1, half - 1)
        )
        # Whole turns are taken off in float64: in float32 a late time over a short period has no fraction left.
        turns = (times.double()[:, None] / periods).remainder(1.0)
        angle = (2 * math.pi * turns).float()
        return cls(angle.cos(), angle.sin())

    def __getitem__(self, positions: slice) -> Turns:
        return Turns(self.cos[positions], self.sin[positions])


def rotate(x: Float[Tensor, "B H N d"], times: Float[Tensor, " N"] | Turns) -> Float[Tensor, "B H N d"]:
    """Turn pairs of numbers (i, i + d/2) by their time (Su et al. 2021, with seconds for indices).

    Sequences of any rates share one measure: a codec step and a frame of the same moment are turned alike. Times are in
    seconds, or the turns at them.
    """
    turns = times if isinstance(times, Turns) else Turns.at(times, x.shape[-1])
    cos, sin = turns.cos.to(x.dtype), turns.sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
