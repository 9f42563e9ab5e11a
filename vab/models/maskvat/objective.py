"""Masked prediction, and what draws the encoder's output to audio features (MaskVAT section 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from vab.features.batch import FeatureBatch
from vab.models.maskvat.config import MaskVATPredictionOptions
from vab.models.maskvat.model import Condition, MaskVAT
from vab.nn.initialise import initialise
from vab.nn.interpolation import nearest_at
from vab.nn.pooling import mean_pool
from vab.objectives.contrastive import contrastive_loss
from vab.objectives.masked_prediction import MaskedPrediction
from vab.shapes import Bool, Float, Tensor


class MaskVATPrediction(MaskedPrediction):
    """The masked loss, plus regression and contrastive loss towards each stream of ``config.targets``."""

    options: MaskVATPredictionOptions
    model: MaskVAT

    def __init__(self, model: MaskVAT, options: MaskVATPredictionOptions) -> None:
        super().__init__(model, options)
        config = model.config
        self.project = nn.ModuleDict(
            {name: nn.Linear(size.width, config.width) for name, size in config.targets.items()}
        )
        self.project.apply(initialise)
        start = math.log(options.contrastive_temperature)
        self.log_temperature = nn.ParameterDict({name: torch.tensor(start) for name in config.targets})

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch and its parts; see ``MaskedPrediction.forward``."""
        is_masked, is_dropped = self.draw(batch, generator)
        condition = self.condition(batch, is_dropped)
        parts = self.target_losses(batch, condition, ~is_dropped)
        weights = [getattr(self.options, f"{name.split('/')[0]}_weight") for name in parts]
        added = sum(weight * part for weight, part in zip(weights, parts.values(), strict=True))
        return {"loss": self.masked_loss(batch, is_masked, condition) + added} | parts

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """As ``MaskedPrediction.evaluate``, and the parts of the loss, of clips whose conditions are all there."""
        metrics = super().evaluate(batch, generator=generator)
        is_used = torch.ones(len(batch), dtype=torch.bool, device=batch.streams["codes"].device)
        return metrics | self.target_losses(batch, self.condition(batch, ~is_used), is_used)

    def target_losses(
        self, batch: FeatureBatch, condition: Condition, is_used: Bool[Tensor, " B"]
    ) -> dict[str, Tensor]:
        """``regression/NAME`` and ``contrastive/NAME`` for each target, those of them that have a weight.

        The paper pairs two sequences of different lengths without saying how: targets are resampled to the encoder's
        steps by nearest neighbour. Clips without the target, and those not in ``is_used`` as their condition was
        dropped, do not count; negatives are those of one process.
        """
        losses: dict[str, Tensor] = {}
        config, encoded = self.model.config, condition.encoded
        if encoded is None:
            return losses
        first, size = next(iter(config.conditions.items()))
        for name, target in config.targets.items():
            features, is_real = batch.streams[name], batch.is_valid[name]
            projected = self.project[name](features)
            has_both = is_used & is_real.any(1) & batch.has(first)
            to_frames = target.rate, encoded.shape[1] - 1, size.rate
            is_pair = has_both[:, None] & batch.is_valid[first] & nearest_at(is_real, *to_frames)
            if self.options.regression_weight:
                nearest = nearest_at(projected, *to_frames)
                losses[f"regression/{name}"] = _distance(encoded[:, 1:], nearest, is_pair)
            if self.options.contrastive_weight:
                pooled = mean_pool(projected, is_real)[has_both]
                losses[f"contrastive/{name}"] = self._contrast(encoded[has_both, 0], pooled, name)
        return losses

    def _contrast(self, cls: Float[Tensor, "n D"], audio: Float[Tensor, "n D"], name: str) -> Tensor:
        if len(cls) == 0:  # every condition dropped
            return cls.sum() + audio.sum() + 0 * self.log_temperature[name]
        with torch.autocast(cls.device.type, enabled=False):
            video, audio = F.normalize(cls.float(), dim=1), F.normalize(audio.float(), dim=1)
            temperature = self.log_temperature[name].exp().clamp_min(0.01)
            return contrastive_loss(audio, video, audio, video, temperature)


def _distance(
    encoded: Float[Tensor, "B M D"], target: Float[Tensor, "B M D"], is_pair: Bool[Tensor, "B M"]
) -> Float[Tensor, ""]:
    """Mean squared difference over the pairs; 0 where there is none."""
    squared = (encoded.float() - target.float()).square().mean(2)
    return torch.where(is_pair, squared, 0.0).sum() / is_pair.sum().clamp_min(1)
