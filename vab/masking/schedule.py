"""How many tokens stay hidden after each decoding step."""

from __future__ import annotations

import math

import torch

from vab.shapes import Int, Tensor


def num_hidden_after(step: int, num_steps: int, num_to_decode: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """floor(N cos(pi/2 (t+1)/T)), the paper's cosine schedule counted after step t = 0..T-1 (section 3.3).

    Counting with t instead of t + 1 would hide everything again after the first step and leave tokens hidden at the
    end. The last step leaves exactly none: in float32 cos(pi/2) is below zero.

    Args:
        step: t, the step that has just been taken.
        num_steps: T.
        num_to_decode: N, tokens hidden at the start, of each clip.
    """
    if not 0 <= step < num_steps:
        raise ValueError(f"step must be in [0, {num_steps}), not {step}")
    if step == num_steps - 1:
        return torch.zeros_like(num_to_decode)
    share = math.cos(math.pi / 2 * (step + 1) / num_steps)
    return (num_to_decode.double() * share).floor().long()
