"""Which tokens are masked: an exact count, drawn uniformly over all codebooks and steps of a clip."""

from __future__ import annotations

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


def mask_out(
    codes: Int[Tensor, "B K S"], is_masked: Bool[Tensor, "B K S"], mask_token_id: int
) -> Int[Tensor, "B K S"]:
    """The codes with [MASK] in the masked places."""
    return codes.masked_fill(is_masked, mask_token_id)
