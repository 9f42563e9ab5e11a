"""Adaptation for retrieval: audio and frames of one clip together, all others apart (paper section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import nn
from torch.distributed.nn.functional import all_gather
from torch.utils.checkpoint import checkpoint

from vab.features.batch import FeatureBatch
from vab.metrics.ranking import pair_ranks, recall_at
from vab.objectives.options import ContrastiveOptions
from vab.shapes import Float, Tensor


def contrastive_loss(
    audio: Float[Tensor, "b P"],
    visual: Float[Tensor, "b P"],
    all_audio: Float[Tensor, "B P"],
    all_visual: Float[Tensor, "B P"],
    temperature: Float[Tensor, ""],
    first: int = 0,
) -> Float[Tensor, ""]:
    """Mean of the cross-entropies of finding a clip's frames by its audio and its audio by its frames.

    Equation 4 is the half that searches frames by audio; the other half is its mirror image. Embeddings are of unit
    norm; the first of ``audio`` is number ``first`` of all clips, whose others are its negatives.
    """
    target = torch.arange(first, first + len(audio), device=audio.device)
    by_audio = F.cross_entropy(audio @ all_visual.T / temperature, target)
    by_frames = F.cross_entropy(visual @ all_audio.T / temperature, target)
    return (by_audio + by_frames) / 2


class ContrastiveAdaptation(nn.Module):
    """The contrastive objective around an encoder, in plain torch.

    ``model.embed(codes=, is_valid=)`` and ``model.embed(visual=, is_valid_visual=)`` give unit-norm embeddings.
    """

    def __init__(self, model: Any, options: ContrastiveOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.log_temperature = nn.Parameter(torch.tensor(math.log(options.temperature)))

    @property
    def temperature(self) -> float:
        """What similarities are divided by, as learnt so far."""
        return self.log_temperature.exp().item()

    def forward(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one training batch of audio and frames; negatives are those of all processes."""
        with torch.no_grad():
            self.log_temperature.clamp_(min=math.log(self.options.minimum_temperature))
        audio, visual = self.embed(batch)
        first, all_audio, all_visual = _gathered(audio, visual)
        temperature = self.log_temperature.exp()
        with torch.autocast(audio.device.type, enabled=False):
            loss = contrastive_loss(audio, visual, all_audio, all_visual, temperature, first)
        return {"loss": loss, "temperature": temperature.detach()}

    @torch.no_grad()
    def evaluate(self, batch: FeatureBatch, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss, and how often a clip's other half is the nearest of the batch."""
        audio, visual = self.embed(batch)
        with torch.autocast(audio.device.type, enabled=False):
            loss = contrastive_loss(audio, visual, audio, visual, self.log_temperature.exp())
            return {
                "loss": loss,
                "recall_1/visual_to_audio": torch.tensor(recall_at(pair_ranks(visual, audio), 1)),
                "recall_1/audio_to_visual": torch.tensor(recall_at(pair_ranks(audio, visual), 1)),
            }

    def embed(self, batch: FeatureBatch) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P"]]:
        """Unit-norm embeddings of audio and of frames, in two passes that do not see each other."""
        embed = self.model.embed
        return (
            self._in_chunks(lambda codes, real: embed(codes=codes, is_valid=real), batch, "codes"),
            self._in_chunks(lambda visual, real: embed(visual=visual, is_valid_visual=real), batch, "clip"),
        )

    def _in_chunks(
        self, embed: Callable[[Tensor, Tensor], Tensor], batch: FeatureBatch, stream: str
    ) -> Tensor:
        """All at once, or chunk by chunk with nothing kept between.

        The loss needs all embeddings at once but no more than these: a chunk's activations are computed again when
        the gradient reaches it (gradient caching, Gao et al. 2021), so memory is that of one chunk.
        """
        inputs, is_valid, size = batch.streams[stream], batch.is_valid[stream], self.options.chunk_size
        if size is None or len(inputs) <= size:
            return embed(inputs, is_valid)
        chunks = zip(inputs.split(size), is_valid.split(size), strict=True)
        return torch.cat([checkpoint(embed, *chunk, use_reentrant=False) for chunk in chunks])


def _gathered(audio: Tensor, visual: Tensor) -> tuple[int, Tensor, Tensor]:
    """This process's first row, and the rows of all processes, through which gradients flow back to each."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 0, audio, visual
    first = torch.distributed.get_rank() * len(audio)
    both = torch.cat(all_gather(torch.stack([audio, visual])), dim=1)
    return first, both[0], both[1]
