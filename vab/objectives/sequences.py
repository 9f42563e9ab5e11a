"""Contrastive learning by distances between sequences, not between their means (Tsiamas et al. 2024; MaskVAT 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from vab.config import check_ranges
from vab.features.batch import FeatureBatch
from vab.nn.interpolation import nearest_at
from vab.shapes import Bool, Float, Tensor


@dataclass(frozen=True)
class SequentialContrastOptions:
    """How sequences of one clip are brought together."""

    temperature: float = 0.07
    """What distances are divided by at first; it is learnt, and never below 0.01."""

    def __post_init__(self) -> None:
        check_ranges(self, temperature=(0.01, 1000))


def sequence_distances(
    visual: Float[Tensor, "V F P"],
    audio: Float[Tensor, "A F P"],
    is_valid_visual: Bool[Tensor, "V F"],
    is_valid_audio: Bool[Tensor, "A F"],
) -> Float[Tensor, "V A"]:
    """Mean squared Euclidean distance of the unit-norm steps that are real in both; 4, the largest, where none is."""
    seen, heard = is_valid_visual.float(), is_valid_audio.float()
    cosines = (visual * seen[..., None]).flatten(1) @ (audio * heard[..., None]).flatten(1).T
    counts = seen @ heard.T
    return torch.where(counts > 0, 2 - 2 * cosines / counts.clamp_min(1), 4.0)


class SequentialContrast(nn.Module):
    """Finds a clip's audio by its frames and its frames by its audio, by their distance in a ``SCAV``."""

    def __init__(self, model: Any, options: SequentialContrastOptions) -> None:
        super().__init__()
        self.model = model
        self.log_temperature = nn.Parameter(torch.tensor(math.log(options.temperature)))

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch; negatives are those of one process."""
        return {"loss": self._loss(self.distances(batch)), "temperature": self.log_temperature.exp().detach()}

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss, and how often a clip's audio is the nearest of the batch to its frames."""
        distances = self.distances(batch)
        is_nearest = distances.argmin(1).cpu() == torch.arange(len(batch))
        return {"loss": self._loss(distances), "recall_1/visual_to_audio": is_nearest.float().mean()}

    def distances(self, batch: FeatureBatch) -> Float[Tensor, "B B"]:
        """From the frames of each clip to the audio of each."""
        model = self.model
        frames, audio = batch.streams[model.visual_stream], batch.streams[model.audio_stream]
        is_seen, is_heard = batch.is_valid[model.visual_stream], batch.is_valid[model.audio_stream]
        return sequence_distances(
            model.embed_visual(frames, is_seen),
            model.embed_audio(audio, frames.shape[1], is_heard),
            is_seen,
            nearest_at(is_heard, model.audio_size.rate, frames.shape[1], model.visual_size.rate),
        )

    def _loss(self, distances: Float[Tensor, "B B"]) -> Float[Tensor, ""]:
        logits = -distances / self.log_temperature.exp().clamp_min(0.01)
        target = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
