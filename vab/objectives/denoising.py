"""The noise in latents, for a model that follows a layout (TiVA equations 9 and 10)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vab.features.batch import FeatureBatch
from vab.objectives.layout import masked_mean_square
from vab.objectives.options import DenoisingOptions
from vab.shapes import Bool, Float, Tensor


class Denoising(nn.Module):
    """The objective around a model, whose predictor is trained only where layouts are predicted.

    ``model(latents, steps, layout, features, is_dropped=)`` gives the noise, ``model.predictor(features, num_rows)``
    layouts of the stream ``model.config.predictor.layout_stream``; ``model.config.schedule`` is the noise schedule.
    """

    def __init__(self, model: Any, options: DenoisingOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.stream = model.config.predictor.layout_stream
        self.is_joint = options.layout == "predicted"
        model.predictor.requires_grad_(self.is_joint)

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch; a CPU generator draws steps, noise and whose semantics are dropped."""
        options = self.options
        is_dropped = torch.rand(len(batch), generator=generator) < options.condition_drop_prob
        layout = self._followed(batch)
        loss = self._loss(batch, layout, is_dropped, generator)
        if not self.is_joint:
            return {"loss": loss}
        of_layout = masked_mean_square(layout, batch.streams[self.stream], batch.is_valid[self.stream])
        return {
            "loss": loss + options.layout_weight * of_layout,
            "noise_loss": loss.detach(),
            "layout_loss": of_layout.detach(),
        }

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss with each kind of condition, under one noise: what layouts and semantics add."""
        state = generator.get_state()
        true, predicted = batch.streams[self.stream], self._predict(batch)

        def loss(layout: Tensor, *, is_dropped: bool = False) -> Tensor:
            generator.set_state(state)
            return self._loss(batch, layout, torch.full((len(batch),), is_dropped), generator)

        return {
            "loss": loss(self._followed(batch)),
            "loss_with_true_layout": loss(true),
            "loss_with_predicted_layout": loss(predicted),
            "loss_without_semantics": loss(true, is_dropped=True),
            "layout_loss": masked_mean_square(predicted, true, batch.is_valid[self.stream]),
        }

    def _followed(self, batch: FeatureBatch) -> Float[Tensor, "B M C"]:
        if self.is_joint:
            return self._predict(batch)
        true = batch.streams[self.stream]
        return torch.zeros_like(true) if self.options.layout == "none" else true

    def _predict(self, batch: FeatureBatch) -> Float[Tensor, "B M C"]:
        return self.model.predictor(batch.streams["clip-layers"], batch.streams[self.stream].shape[1])

    def _loss(
        self,
        batch: FeatureBatch,
        layout: Float[Tensor, "B M C"],
        is_dropped: Bool[Tensor, " B"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Mean square error of the noise, a layout being followed."""
        latents, schedule = batch.streams["latents"], self.model.config.schedule
        steps = torch.randint(schedule.num_train_steps, (len(batch),), generator=generator).float()
        steps = steps.to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        found = self.model(
            schedule.add_noise(latents, noise, steps),
            steps,
            layout,
            batch.streams["clip-layers"],
            is_dropped=is_dropped.to(latents.device),
        )
        return masked_mean_square(found, noise, batch.is_valid["latents"])
