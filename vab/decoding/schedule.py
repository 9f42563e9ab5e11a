"""How many tokens stay masked after each decoding step."""

from __future__ import annotations

import math

import torch

from vab.shapes import Int, Tensor


def num_masked_after(step: int, num_steps: int, num_to_decode: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """floor(N cos(pi/2 (t+1)/T)), the paper's cosine schedule counted after step t = 0..T-1 (section 3.3).

    Counting with t instead of t + 1 would mask everything again after the first step and leave tokens masked at the
    end. The last step leaves exactly none: in float32 cos(pi/2) is below zero.

    Args:
        step: t, the step that has just been taken.
        num_steps: T.
        num_to_decode: N, tokens masked at the start, of each clip.
    """
    if not 0 <= step < num_steps:
        raise ValueError(f"step must be in [0, {num_steps}), not {step}")
    if step == num_steps - 1:
        return torch.zeros_like(num_to_decode)
    share = math.cos(math.pi / 2 * (step + 1) / num_steps)
    return (num_to_decode.double() * share).floor().long()


def masking_schedule(num_steps: int, num_to_decode: Int[Tensor, " B"]) -> Int[Tensor, "T B"]:
    """Tokens of each clip that stay masked after each step: by the cosine, and at least one fewer than before.

    Steps that would begin with nothing masked in any clip are left out, so T may be below ``num_steps``.
    """
    rows, num_masked = [], num_to_decode
    for step in range(num_steps):
        if not num_masked.any():
            break
        fewer = (num_masked - 1).clamp_min(0)
        num_masked = torch.minimum(num_masked_after(step, num_steps, num_to_decode), fewer)
        rows.append(num_masked)
    return torch.stack(rows) if rows else num_to_decode.new_zeros(0, len(num_to_decode))
