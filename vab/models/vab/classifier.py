"""Classification: the first N1 layers of a VAB, mean pooling and one linear layer (paper section 3.5)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from vab.models.vab.config import VABConfig
from vab.models.vab.encoder import VABEncoder
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
        """Mean of the encoder's output over real positions, float32; see ``Trunk.encode`` for the arguments.

        Only what ``config.modality`` names is looked at and must be given; a clip needs a real position.

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
