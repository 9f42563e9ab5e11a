"""Features of a sequence to one vector a clip."""

from __future__ import annotations

from vab.shapes import Bool, Float, Tensor


def mean_pool(features: Float[Tensor, "B N D"], is_valid: Bool[Tensor, "B N"]) -> Float[Tensor, "B D"]:
    """Mean over the real positions, float32; zero for a clip that has none."""
    weights = is_valid[:, :, None].float()
    total = features.float().masked_fill(~is_valid[:, :, None], 0.0).sum(dim=1)
    return total / weights.sum(dim=1).clamp_min(1)
