"""Layouts from frames: the mean square error (TiVA equation 8)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vab.features.batch import FeatureBatch, along_time
from vab.objectives.options import LayoutOptions
from vab.shapes import Bool, Float, Tensor


def masked_mean_square(
    first: Float[Tensor, "B S ..."], second: Float[Tensor, "B S ..."], is_valid: Bool[Tensor, "B S"]
) -> Float[Tensor, ""]:
    """Mean of the squared differences over real steps, float32."""
    error = (first.float() - second.float()).square()
    weight = along_time(is_valid, error).expand_as(error)
    return error.masked_fill(~weight, 0).sum() / weight.sum().clamp_min(1)


class LayoutPrediction(nn.Module):
    """The objective around a predictor: ``model(features, num_rows)`` gives layouts."""

    def __init__(self, model: Any, options: LayoutOptions) -> None:
        super().__init__()
        self.model = model
        self.stream = model.config.layout_stream

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch, over real rows; ``generator`` is not needed."""
        layouts = batch.streams[self.stream]
        predicted = self.model(batch.streams["clip-layers"], layouts.shape[1])
        return {"loss": masked_mean_square(predicted, layouts, batch.is_valid[self.stream])}

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss, and that of the batch's mean layout: what a predictor that sees nothing comes to."""
        layouts = batch.streams[self.stream]
        mean = layouts.mean(dim=(0, 1)).expand_as(layouts)
        of_mean = masked_mean_square(mean, layouts, batch.is_valid[self.stream])
        return self.forward(batch, generator=generator) | {"loss_of_mean": of_mean}
