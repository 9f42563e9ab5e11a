"""Classification: the first N1 layers of a VAB, mean pooling and one linear layer (paper section 3.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from vab.features.batch import FeatureBatch
from vab.models.vab.config import VABConfig
from vab.models.vab.encoder import VABEncoder
from vab.models.vab.options import ClassificationOptions
from vab.nn.pooling import mean_pool
from vab.shapes import Bool, Float, Int, Tensor

MODEL_TYPE = "vab-classifier"
"""The model type in the weights file of a classifier."""

Modality = Literal["audio", "visual", "both"]
"""What a classifier is given; ``both`` is one joint sequence."""


@dataclass(frozen=True)
class VABClassifierConfig:
    """Everything needed to build the network; saved inside its weights file."""

    classes: list[str]
    """Names of the classes, in the order of the logits."""
    modality: Modality = "both"
    """What it was trained on."""
    encoder: VABConfig = field(default_factory=VABConfig)
    """Of the VAB whose first N1 layers it holds."""

    @property
    def num_codebooks(self) -> int:
        """K, the codec levels that it reads."""
        return self.encoder.num_codebooks

    @property
    def visual_fps(self) -> float:
        """Visual frames a second that it takes."""
        return self.encoder.visual_fps

    @property
    def frame_rate(self) -> float:
        """Codec steps a second that it takes."""
        return self.encoder.frame_rate


class VABClassifier(nn.Module):
    """A ``VABEncoder`` and a linear layer on its mean."""

    def __init__(self, config: VABClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VABEncoder(config.encoder)
        self.head = nn.Linear(config.encoder.width, len(config.classes))
        nn.init.zeros_(self.head.weight)
        # Every class as likely as one of them: the first steps do not go into learning that most are absent.
        nn.init.constant_(self.head.bias, -math.log(max(1, len(config.classes) - 1)))

    def pool(
        self,
        codes: Int[Tensor, "B K S"] | None = None,
        visual: Float[Tensor, "B F E"] | None = None,
        *,
        is_valid: Bool[Tensor, "B S"] | None = None,
        is_valid_visual: Bool[Tensor, "B F"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """Mean of the encoder's output over real positions, float32; only ``config.modality`` is looked at.

        Args:
            codes: sound codes, none hidden; may be absent where the modality is ``visual``.
            visual: frame features at ``config.visual_fps``; may be absent where the modality is ``audio``.
            is_valid: False where codes are padding; all real by default.
            is_valid_visual: the same of the frames; a clip needs a real position.

        Raises:
            ValueError: what the modality needs was not given.
        """
        if self.config.modality == "visual":
            codes = is_valid = None
        if self.config.modality == "audio":
            visual = is_valid_visual = None
        if self.config.modality == "both" and (codes is None or visual is None):
            raise ValueError("this classifier takes sound and pictures")
        return mean_pool(*self.encoder(codes, visual, is_valid=is_valid, is_valid_visual=is_valid_visual))

    def forward(
        self,
        codes: Int[Tensor, "B K S"] | None = None,
        visual: Float[Tensor, "B F E"] | None = None,
        *,
        is_valid: Bool[Tensor, "B S"] | None = None,
        is_valid_visual: Bool[Tensor, "B F"] | None = None,
    ) -> Float[Tensor, "B classes"]:
        """Logits, one a class; their sigmoids are the probabilities. See ``pool`` for the arguments."""
        pooled = self.pool(codes, visual, is_valid=is_valid, is_valid_visual=is_valid_visual)
        return self.head(pooled.to(self.head.weight.dtype))


class Classification(nn.Module):
    """The fine-tuning objective around a classifier: binary cross-entropy of every class (table 8)."""

    def __init__(
        self, model: VABClassifier, class_of: Mapping[str, int], options: ClassificationOptions
    ) -> None:
        """Keep what is needed.

        Args:
            model: what is trained.
            class_of: for each label that clips have, the number of its class.
            options: of the loss.
        """
        super().__init__()
        self.model = model
        self.class_of = class_of
        self.options = options

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch; where clips are mixed, their labels are mixed by the same share."""
        logits = self.model(
            batch.codes, batch.visual, is_valid=batch.is_valid, is_valid_visual=batch.is_valid_visual
        )
        wanted = mixed_targets(self._targets_of(batch), batch.partner, batch.mix).to(logits.device)
        return {"loss": smoothed_bce(logits.float(), wanted, self.options.label_smoothing)}

    def _targets_of(self, batch: FeatureBatch) -> Float[Tensor, "B classes"]:
        targets = torch.zeros(len(batch), len(self.model.config.classes))
        for row, labels in enumerate(batch.labels):
            targets[row, [self.class_of[label] for label in labels]] = 1.0
        return targets


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
