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
    """The objective around a predictor."""

    def __init__(self, model: Any, options: LayoutOptions) -> None:
        """Wrap a predictor.

        Args:
            model: ``model(features, num_rows)`` gives layouts, ``model.config.layout_stream`` is their stream.
            options: there are none.
        """
        super().__init__()
        self.model = model

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch; ``generator`` is not needed."""
        return {"loss": layout_loss(self.model, batch)}

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss, and that of the batch's mean layout: what a predictor that sees nothing comes to."""
        stream = self.model.config.layout_stream
        layouts, is_valid = batch.streams[stream], batch.is_valid[stream]
        mean = layouts.mean(dim=(0, 1)).expand_as(layouts)
        return {
            "loss": layout_loss(self.model, batch),
            "loss_of_mean": masked_mean_square(mean, layouts, is_valid),
        }


def layout_loss(predictor: Any, batch: FeatureBatch) -> Float[Tensor, ""]:
    """Mean square error of the predicted layouts over real rows."""
    stream = predictor.config.layout_stream
    layouts = batch.streams[stream]
    predicted = predictor(batch.streams["clip-layers"], layouts.shape[1])
    return masked_mean_square(predicted, layouts, batch.is_valid[stream])
