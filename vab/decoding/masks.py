"""Which tokens are masked in training, over all codebooks and steps of a clip; how many stay so in decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from vab.shapes import Bool, Float, Int, Tensor


def draw_mask(
    ratio: Float[Tensor, " B"], num_codebooks: int, num_steps: int, *, generator: torch.Generator | None
) -> Bool[Tensor, "B K S"]:
    """Mask round(ratio * K * S) tokens of each clip, at least one; True = masked, to predict.

    Drawn on the CPU, so that one seed gives one mask on every device.
    """
    total = num_codebooks * num_steps
    num_masked = (ratio.cpu() * total).round().long().clamp(1, total)
    rank = torch.rand(len(ratio), total, generator=generator).argsort(dim=1).argsort(dim=1)
    return (rank < num_masked[:, None]).view(-1, num_codebooks, num_steps)


def draw_cosine_mask(shape: Sequence[int], *, generator: torch.Generator | None) -> Bool[Tensor, "B K S"]:
    """Mask each token of a clip of (B, K, S) with probability cos(u), u uniform on [0, pi/2] (MaskVAT section 3.2).

    The likeliest token of each clip is masked in any case, so that there is something to predict. Drawn on the CPU.
    """
    probability = (torch.rand(shape[0], 1, generator=generator) * math.pi / 2).cos()
    uniform = torch.rand(shape[0], math.prod(shape[1:]), generator=generator)
    return ((uniform < probability) | (uniform == uniform.amin(1, keepdim=True))).view(*shape)


def mask_out(
    codes: Int[Tensor, "B K S"], is_masked: Bool[Tensor, "B K S"], mask_token_id: int
) -> Int[Tensor, "B K S"]:
    """The codes with [MASK] in the masked places."""
    return codes.masked_fill(is_masked, mask_token_id)


def num_masked_after(step: int, num_steps: int, num_to_decode: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """floor(N cos(pi/2 (t+1)/T)), the paper's cosine schedule counted after step t = 0..T-1 (section 3.3).

    Counting with t instead of t + 1 would mask everything again after the first step and leave tokens masked at the
    end. The last step leaves exactly none: in float32 cos(pi/2) is below zero.
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
