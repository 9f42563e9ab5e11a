"""Masked prediction: masked codes from the others and the frames, for any model of codes (paper equations 1 and 3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vab.decoding.masks import draw_cosine_mask, draw_mask, mask_out
from vab.features.batch import FeatureBatch
from vab.objectives.options import MaskedPredictionOptions, MaskRatio
from vab.shapes import Bool, Float, Int, Tensor


def sample_ratio(
    batch_size: int, distribution: MaskRatio, *, generator: torch.Generator | None
) -> Float[Tensor, " B"]:
    """One mask ratio a clip, on the CPU: a truncated Gaussian, by the inverse of its distribution function.

    Paper section 3.2: mean 0.55, std 0.25, within [0.5, 1].
    """
    normal = torch.distributions.Normal(0.0, 1.0)
    edges = torch.tensor([distribution.minimum, distribution.maximum])
    low, high = normal.cdf((edges - distribution.mean) / distribution.std)
    uniform = torch.rand(batch_size, generator=generator)
    ratio = distribution.mean + distribution.std * normal.icdf(low + (high - low) * uniform)
    return ratio.clamp(distribution.minimum, distribution.maximum)


def masked_cross_entropy(
    logits: Float[Tensor, "B K S V"],
    codes: Int[Tensor, "B K S"],
    is_masked: Bool[Tensor, "B K S"],
    label_smoothing: float,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the masked positions alone (equation 1; smoothing from table 8)."""
    ignored = -100
    wanted = codes.masked_fill(~is_masked, ignored)
    return F.cross_entropy(
        logits.float().flatten(0, 2), wanted.flatten(), ignore_index=ignored, label_smoothing=label_smoothing
    )


class MaskedPrediction(nn.Module):
    """The objective around a model, in plain torch.

    ``model.predict(codes, model.condition(conditions, S, is_dropped=, is_valid=))`` gives logits of the codebooks that
    are not given: ``model.config.num_given_codebooks``, from the coarsest, are never masked (equation 3; with 0 any is,
    equation 1). ``model.config.conditions`` has the streams that are conditions.
    """

    def __init__(self, model: Any, options: MaskedPredictionOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.num_given: int = model.config.num_given_codebooks

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch; padding, of codes or of conditions, is neither attended to nor counted."""
        is_masked, is_dropped = self.draw(batch, generator)
        return {"loss": self.masked_loss(batch, is_masked, self.condition(batch, is_dropped))}

    def draw(
        self, batch: FeatureBatch, generator: torch.Generator
    ) -> tuple[Bool[Tensor, "B K S"], Bool[Tensor, " B"]]:
        """Which tokens are masked and whose conditions are dropped, by a CPU generator."""
        is_masked = self._draw_mask(batch, generator)
        is_dropped = torch.rand(len(batch), generator=generator) < self.options.condition_drop_prob
        return is_masked, is_dropped.to(is_masked.device)

    def masked_loss(
        self, batch: FeatureBatch, is_masked: Bool[Tensor, "B K S"], condition: Any
    ) -> Float[Tensor, ""]:
        """Of the masked tokens, under a condition."""
        logits = self._predict(batch, is_masked, condition)
        return masked_cross_entropy(logits, self._wanted(batch), is_masked, self.options.label_smoothing)

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss and accuracy on masked tokens, with the frames and without: the gap is what vision adds.

        Measured at the ratios of training, where the other tokens tell much of what the frames would, and with all
        tokens masked (``all_masked/``), as generation begins.
        """
        everything = batch.is_valid["codes"][:, None].expand_as(self._wanted(batch))
        return self.compare(batch, self._draw_mask(batch, generator)) | {
            f"all_masked/{name}": value for name, value in self.compare(batch, everything).items()
        }

    @torch.no_grad()
    def compare(self, batch: FeatureBatch, is_masked: Bool[Tensor, "B K S"]) -> dict[str, Tensor]:
        """Loss, accuracy and accuracy of each codebook, each with vision and without it.

        A codebook without masked tokens in the batch is left out; ``is_masked`` is of those that are not given.
        """
        metrics = {}
        wanted = self._wanted(batch)
        for condition in ("with_vision", "without_vision"):
            is_dropped = torch.full_like(is_masked[:, 0, 0], condition == "without_vision")
            logits = self._predict(batch, is_masked, self.condition(batch, is_dropped))
            is_right = logits.argmax(dim=-1) == wanted
            metrics[f"loss_{condition}"] = masked_cross_entropy(logits, wanted, is_masked, 0.0)
            metrics[f"accuracy_{condition}"] = is_right[is_masked].float().mean()
            for codebook in range(wanted.shape[1]):
                if (chosen := is_masked[:, codebook]).any():
                    accuracy = is_right[:, codebook][chosen].float().mean()
                    metrics[f"accuracy_{condition}/codebook_{self.num_given + codebook}"] = accuracy
        return metrics

    def _wanted(self, batch: FeatureBatch) -> Tensor:
        """The codebooks that are predicted."""
        return batch.streams["codes"][:, self.num_given :]

    def _draw_mask(self, batch: FeatureBatch, generator: torch.Generator) -> Tensor:
        shape = self._wanted(batch).shape
        if self.options.masking == "cosine":
            is_masked = draw_cosine_mask(shape, generator=generator)
        else:
            ratio = sample_ratio(len(batch), self.options.mask_ratio, generator=generator)
            is_masked = draw_mask(ratio, *shape[1:], generator=generator)
        is_valid = batch.is_valid["codes"]
        return is_masked.to(is_valid.device) & is_valid[:, None]

    def condition(self, batch: FeatureBatch, is_dropped: Bool[Tensor, " B"]) -> Any:
        """What the model makes of a batch's conditions."""
        return self.model.condition(
            {name: batch.streams[name] for name in self.model.config.conditions},
            batch.streams["codes"].shape[2],
            is_dropped=is_dropped,
            is_valid=batch.is_valid,
        )

    def _predict(self, batch: FeatureBatch, is_masked: Tensor, condition: Any) -> Tensor:
        masked = mask_out(self._wanted(batch), is_masked, self.model.config.mask_token_id)
        given = batch.streams["codes"][:, : self.num_given]
        return self.model.predict(torch.cat([given, masked], dim=1), condition)
