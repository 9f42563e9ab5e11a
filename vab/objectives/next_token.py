"""Next-token prediction: every code from those before it and from the frames (V-AURA, section III.C)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vab.features.batch import FeatureBatch
from vab.objectives.options import NextTokenOptions
from vab.shapes import Bool, Float, Int, Tensor


def codebook_cross_entropy(
    logits: Float[Tensor, "B K S V"],
    codes: Int[Tensor, "B K S"],
    is_valid: Bool[Tensor, "B S"],
    label_smoothing: float,
) -> Float[Tensor, " K"]:
    """Mean cross-entropy of each codebook over the steps that are real."""
    errors = F.cross_entropy(
        logits.movedim(3, 1).float(), codes, label_smoothing=label_smoothing, reduction="none"
    )
    return (errors * is_valid[:, None]).sum(dim=(0, 2)) / is_valid.sum().clamp_min(1)


class NextTokenPrediction(nn.Module):
    """The objective around a model, in plain torch.

    ``model(codes, conditions, is_dropped=, is_valid=)`` gives logits of every code from those before it;
    ``model.config.conditions`` has the streams that are conditions.
    """

    def __init__(self, model: Any, options: NextTokenOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch, the mean over codebooks; a CPU generator draws whose frames are dropped."""
        is_dropped = torch.rand(len(batch), generator=generator) < self.options.condition_drop_prob
        codes, is_valid = batch.streams["codes"], batch.is_valid["codes"]
        logits = self._predict(batch, is_dropped)
        return {"loss": codebook_cross_entropy(logits, codes, is_valid, self.options.label_smoothing).mean()}

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss and accuracy, of each codebook too, with the frames and without: the gap is what vision adds."""
        codes, is_valid = batch.streams["codes"], batch.is_valid["codes"]
        metrics = {}
        for condition in ("with_vision", "without_vision"):
            is_dropped = torch.full((len(batch),), condition == "without_vision")
            logits = self._predict(batch, is_dropped)
            losses = codebook_cross_entropy(logits, codes, is_valid, 0.0)
            is_right = (logits.argmax(dim=-1) == codes) & is_valid[:, None]
            accuracies = is_right.sum(dim=(0, 2)) / is_valid.sum().clamp_min(1)
            metrics[f"loss_{condition}"] = losses.mean()
            metrics[f"accuracy_{condition}"] = accuracies.mean()
            for codebook, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
                metrics[f"loss_{condition}/codebook_{codebook}"] = loss
                metrics[f"accuracy_{condition}/codebook_{codebook}"] = accuracy
        return metrics

    def _predict(self, batch: FeatureBatch, is_dropped: Tensor) -> Tensor:
        codes, names = batch.streams["codes"], list(self.model.config.conditions)
        return self.model(
            codes,
            {name: batch.streams[name] for name in names},
            is_dropped=is_dropped.to(codes.device),
            is_valid={name: batch.is_valid[name] for name in names},
        )
