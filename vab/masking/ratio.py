"""Mask ratios for training: a truncated Gaussian, drawn by inverting its distribution function."""

from __future__ import annotations

import torch

from vab.masking.options import MaskRatio
from vab.shapes import Float, Tensor


def sample_ratio(
    batch_size: int, distribution: MaskRatio, *, generator: torch.Generator | None
) -> Float[Tensor, " B"]:
    """One ratio a clip, on the CPU (paper section 3.2: mean 0.55, std 0.25, within [0.5, 1])."""
    normal = torch.distributions.Normal(0.0, 1.0)
    edges = torch.tensor([distribution.minimum, distribution.maximum])
    low, high = normal.cdf((edges - distribution.mean) / distribution.std)
    uniform = torch.rand(batch_size, generator=generator)
    ratio = distribution.mean + distribution.std * normal.icdf(low + (high - low) * uniform)
    return ratio.clamp(distribution.minimum, distribution.maximum)
