"""Which tokens are masked, uniformly over all codebooks and steps of a clip: an exact count, or each by itself."""

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
    """Mask each token of a clip with probability cos(u), u uniform on [0, pi/2] (MaskVAT section 3.2).

    The likeliest token of each clip is masked in any case, so that there is something to predict. Drawn on the CPU.

    Args:
        shape: (B, K, S).
        generator: a CPU generator.
    """
    probability = (torch.rand(shape[0], 1, generator=generator) * math.pi / 2).cos()
    uniform = torch.rand(shape[0], math.prod(shape[1:]), generator=generator)
    return ((uniform < probability) | (uniform == uniform.amin(1, keepdim=True))).view(*shape)


def mask_out(
    codes: Int[Tensor, "B K S"], is_masked: Bool[Tensor, "B K S"], mask_token_id: int
) -> Int[Tensor, "B K S"]:
    """The codes with [MASK] in the masked places."""
    return codes.masked_fill(is_masked, mask_token_id)
