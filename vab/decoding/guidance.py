"""Classifier-free guidance over any model that can run without its condition."""

from __future__ import annotations

from collections.abc import Callable

from vab.shapes import Tensor

LogitsOf = Callable[[Tensor], Tensor]
"""Codes [B, K, S], with [MASK] where masked, to logits [B, K, S, V]; or noisy latents [B, ...] to the noise in them."""


def branches(cfg_scale: float) -> tuple[bool, ...]:
    """Whether the condition is dropped, for each branch that guidance runs: one at scale 1 or 0, else two."""
    return {1.0: (False,), 0.0: (True,)}.get(float(cfg_scale), (False, True))


def combine(logits: Tensor, cfg_scale: float) -> Tensor:
    """Guided logits, float32: uncond + cfg_scale * (cond - uncond) (Ho and Salimans 2022; paper section 3.3).

    The same of log-probabilities, cfg_scale log p + (1 - cfg_scale) log p_uncond (V-AURA, section III.C), differs by a
    constant a distribution, which no softmax sees.

    Args:
        logits: of all ``branches``, one after the other along the first axis.
        cfg_scale: 1 is no guidance, 0 ignores the condition.
    """
    logits = logits.float()
    if len(branches(cfg_scale)) == 1:
        return logits
    cond, uncond = logits.chunk(2)
    return uncond + cfg_scale * (cond - uncond)


def guide(logits_of: LogitsOf, cfg_scale: float) -> LogitsOf:
    """A model of codes, or of noise, with guidance; see ``combine``.

    The model has the conditions of all ``branches`` bound in, one branch after the other, and is called with its input
    once a branch, as one batch.
    """
    num_branches = len(branches(cfg_scale))

    def guided(codes: Tensor) -> Tensor:
        return combine(logits_of(codes.repeat(num_branches, *[1] * (codes.ndim - 1))), cfg_scale)

    return guided
