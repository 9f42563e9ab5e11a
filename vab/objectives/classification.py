"""Fine-tuning: binary cross-entropy of every class, labels mixed as the clips are (paper section 3.5, table 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vab.features.batch import FeatureBatch
from vab.objectives.options import ClassificationOptions
from vab.shapes import Float, Int, Tensor


class Classification(nn.Module):
    """The fine-tuning objective around a classifier, whose logits are of ``model.config.classes``.

    ``class_of`` has the number of the class of each label that clips have.
    """

    def __init__(self, model: Any, class_of: Mapping[str, int], options: ClassificationOptions) -> None:
        super().__init__()
        self.model = model
        self.class_of = class_of
        self.options = options

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch; where clips are mixed, their labels are mixed by the same share."""
        logits = self.model(**inputs_of(batch))
        wanted = mixed_targets(self._targets_of(batch), batch.partner, batch.mix).to(logits.device)
        return {"loss": smoothed_bce(logits.float(), wanted, self.options.label_smoothing)}

    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss, and the share of clips whose likeliest class is one of theirs."""
        logits, targets = self.model(**inputs_of(batch)).float(), self._targets_of(batch)
        best = logits.argmax(dim=1, keepdim=True)
        targets = targets.to(logits.device)
        loss = smoothed_bce(logits, targets, self.options.label_smoothing)
        return {"loss": loss, "accuracy": targets.gather(1, best).mean()}

    def _targets_of(self, batch: FeatureBatch) -> Float[Tensor, "B classes"]:
        targets = torch.zeros(len(batch), len(self.model.config.classes))
        for row, labels in enumerate(batch.labels):
            targets[row, [self.class_of[label] for label in labels]] = 1.0
        return targets


def inputs_of(batch: FeatureBatch) -> dict[str, Tensor | None]:
    """What of a batch a classifier takes; streams that the batch lacks are None."""
    return {
        "codes": batch.streams.get("codes"),
        "visual": batch.streams.get("clip"),
        "is_valid": batch.is_valid.get("codes"),
        "is_valid_visual": batch.is_valid.get("clip"),
    }


def mixed_targets(
    targets: Float[Tensor, "B classes"], partner: Int[Tensor, " B"] | None, mix: Float[Tensor, " B"] | None
) -> Float[Tensor, "B classes"]:
    """Targets of clips whose later part is another clip's: each class by its share of the time."""
    if partner is None or mix is None:
        return targets
    partner, share = partner.to(targets.device), mix.to(targets.device)[:, None]
    return share * targets + (1 - share) * targets[partner]


def smoothed_bce(
    logits: Float[Tensor, "B classes"], targets: Float[Tensor, "B classes"], label_smoothing: float
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy, every target moved towards 1 / classes by the share ``label_smoothing``."""
    smooth = (1 - label_smoothing) * targets + label_smoothing / targets.shape[1]
    return F.binary_cross_entropy_with_logits(logits, smooth)
