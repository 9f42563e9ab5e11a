"""Masked prediction: hidden codes from the others and the frames, for any model of codes (paper equations 1 and 3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vab.features.batch import FeatureBatch
from vab.masking.draw import draw_mask, hide
from vab.masking.options import MaskedPredictionOptions
from vab.masking.ratio import sample_ratio
from vab.shapes import Bool, Float, Int, Tensor


def masked_cross_entropy(
    logits: Float[Tensor, "B K S V"],
    codes: Int[Tensor, "B K S"],
    is_masked: Bool[Tensor, "B K S"],
    label_smoothing: float,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the hidden positions alone (equation 1; smoothing from table 8)."""
    return F.cross_entropy(logits[is_masked].float(), codes[is_masked], label_smoothing=label_smoothing)


class MaskedPrediction(nn.Module):
    """The objective around a model, in plain torch."""

    def __init__(self, model: Any, options: MaskedPredictionOptions, *, num_given: int = 0) -> None:
        """Wrap a model.

        Args:
            model: ``model(codes, visual, is_dropped=, is_valid=)`` gives logits of the levels that are not given, and
                ``model.config.mask_token_id`` the id of [MASK].
            options: what is hidden.
            num_given: levels, from the coarsest, that are never hidden (equation 3); 0 hides any (equation 1).
        """
        super().__init__()
        self.model = model
        self.options = options
        self.num_given = num_given

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch; padding is neither attended to nor counted.

        Args:
            batch: codes, frames and which of them are real.
            generator: a CPU generator: which tokens are hidden, whose frames are dropped.
        """
        is_masked = self._draw(batch, generator)
        is_dropped = torch.rand(len(batch.codes), generator=generator) < self.options.condition_drop_prob
        logits = self._predict(batch, is_masked, is_dropped.to(batch.codes.device))
        loss = masked_cross_entropy(logits, self._wanted(batch), is_masked, self.options.label_smoothing)
        return {"loss": loss}

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss and accuracy on hidden tokens, with the frames and without: the gap is what vision adds.

        Measured at the ratios of training, where the tokens that are left tell much of what the frames would, and
        with all tokens hidden (``all_hidden/``), as generation begins.
        """
        everything = batch.is_valid[:, None].expand_as(self._wanted(batch))
        return self.compare(batch, self._draw(batch, generator)) | {
            f"all_hidden/{name}": value for name, value in self.compare(batch, everything).items()
        }

    @torch.no_grad()
    def compare(self, batch: FeatureBatch, is_masked: Bool[Tensor, "B K S"]) -> dict[str, Tensor]:
        """Loss, accuracy and accuracy of each level, each with vision and without it.

        A level without hidden tokens in the batch is left out.

        Args:
            batch: clips.
            is_masked: of the levels that are not given.
        """
        metrics = {}
        wanted = self._wanted(batch)
        for condition in ("with_vision", "without_vision"):
            is_dropped = torch.full_like(is_masked[:, 0, 0], condition == "without_vision")
            logits = self._predict(batch, is_masked, is_dropped)
            is_right = logits.argmax(dim=-1) == wanted
            metrics[f"loss_{condition}"] = masked_cross_entropy(logits, wanted, is_masked, 0.0)
            metrics[f"accuracy_{condition}"] = is_right[is_masked].float().mean()
            for level in range(wanted.shape[1]):
                if (hidden := is_masked[:, level]).any():
                    accuracy = is_right[:, level][hidden].float().mean()
                    metrics[f"accuracy_{condition}/level_{self.num_given + level}"] = accuracy
        return metrics

    def _wanted(self, batch: FeatureBatch) -> Tensor:
        """The levels that are predicted."""
        return batch.codes[:, self.num_given :]

    def _draw(self, batch: FeatureBatch, generator: torch.Generator) -> Tensor:
        ratio = sample_ratio(len(batch.codes), self.options.mask_ratio, generator=generator)
        is_masked = draw_mask(ratio, *self._wanted(batch).shape[1:], generator=generator)
        return is_masked.to(batch.codes.device) & batch.is_valid[:, None]

    def _predict(self, batch: FeatureBatch, is_masked: Tensor, is_dropped: Tensor) -> Tensor:
        hidden = hide(self._wanted(batch), is_masked, self.model.config.mask_token_id)
        codes = torch.cat([batch.codes[:, : self.num_given], hidden], dim=1)
        return self.model(codes, batch.visual, is_dropped=is_dropped, is_valid=batch.is_valid)
