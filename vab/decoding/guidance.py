"""Classifier-free guidance over any model that can run without its condition."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vab.shapes import Bool, Int, Tensor

LogitsOf = Callable[[Int[Tensor, "B K S"]], Tensor]
"""Codes [B, K, S], with [MASK] where hidden, to logits [B, K, S, V]."""


def guide(
    logits_of: Callable[[Int[Tensor, "N K S"], Bool[Tensor, " N"]], Tensor], cfg_scale: float
) -> LogitsOf:
    """Guided logits: uncond + cfg_scale * (cond - uncond) (Ho and Salimans 2022; paper section 3.3).

    Both branches see the same codes and run as one batch; at scale 1 the second branch is not run at all.

    Args:
        logits_of: codes and which clips run without their condition, to logits. It is called with the batch twice
            over, conditioned half first, or with the batch once where the scale is 1.
        cfg_scale: s; 1 is no guidance, 0 ignores the condition.
    """

    def guided(codes: Int[Tensor, "B K S"]) -> Tensor:
        with_condition = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
        if cfg_scale == 1:
            return logits_of(codes, with_condition).float()
        is_dropped = torch.cat([with_condition, ~with_condition])
        cond, uncond = logits_of(codes.repeat(2, 1, 1), is_dropped).float().chunk(2)
        return uncond + cfg_scale * (cond - uncond)

    return guided
