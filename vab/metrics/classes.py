"""What a classifier says of generated sound: KL divergence, inception score, accuracy; all from probabilities."""

from __future__ import annotations

import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vab.shapes import Float, Int, Tensor

FLOOR = 1e-6
"""Smallest probability: one class that a network is sure is absent must not decide a mean over clips."""


def kl_divergence(generated: Float[Tensor, "N V"], reference: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    """``KL(reference || generated)`` of each pair of class distributions in nats, float64.

    The direction of the field's evaluators for video to audio: what the truth has and the generated sound lacks costs.
    Probabilities are floored at ``FLOOR`` and made to sum to 1 again.
    """
    p, q = (_floored(each) for each in (reference, generated))
    return (p * (p.log() - q.log())).sum(dim=1)


def inception_score(probabilities: Float[Tensor, "N V"]) -> float:
    """``exp(mean KL(p(class | clip) || p(class)))`` in [1, V] (Salimans et al., 2016), one split of all clips."""
    p = _floored(probabilities)
    marginal = p.mean(dim=0, keepdim=True)
    return (p * (p.log() - marginal.log())).sum(dim=1).mean().exp().item()


def top1_accuracy(probabilities: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> float:
    """Share of clips whose likeliest class is the target; among equals the target counts as not chosen."""
    target = probabilities.gather(1, targets[:, None])
    others = probabilities.scatter(1, targets[:, None], -torch.inf)
    return (target[:, 0] > others.amax(dim=1)).double().mean().item()


class InceptionScore(Metric):
    """Inception score over clips that come one by one."""

    higher_is_better = True
    full_state_update = False
    probabilities: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probabilities", default=[], dist_reduce_fx="cat")

    def update(self, probabilities: Float[Tensor, "N V"]) -> None:
        """Add clips."""
        self.probabilities.append(probabilities)

    def compute(self) -> float:
        """Of all clips together."""
        return inception_score(dim_zero_cat(self.probabilities))


def _floored(probabilities: Tensor) -> Tensor:
    floored = probabilities.double().clamp_min(FLOOR)
    return floored / floored.sum(dim=1, keepdim=True)
