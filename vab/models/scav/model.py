"""Frames and audio to sequences of one length in one space (MaskVAT section 3.2, Beam-based selection)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from vab.features.info import StreamSize
from vab.models.scav.config import SCAVConfig
from vab.nn.adaln import ConditionedBlock
from vab.nn.attention import FAR, alibi_bias
from vab.nn.initialise import initialise
from vab.nn.interpolation import nearest_at
from vab.shapes import Bool, Float, Tensor
from vab.timing import frame_times

ALIBI_RATE = 50.0
"""Distances count in fiftieths of a second, as those of VAB do in codec steps."""


class SCAV(nn.Module):
    """An encoder of frames and one of audio."""

    def __init__(self, config: SCAVConfig) -> None:
        super().__init__()
        self.config = config
        [(self.visual_stream, self.visual_size)] = config.visual.items()
        [(self.audio_stream, self.audio_size)] = config.audio.items()
        self.visual = SequenceEncoder(config, self.visual_size)
        self.audio = SequenceEncoder(config, self.audio_size)
        self.apply(initialise)

    def embed_visual(
        self, features: Float[Tensor, "B F E"], is_valid: Bool[Tensor, "B F"] | None = None
    ) -> Float[Tensor, "B F P"]:
        """Unit-norm embeddings of the frames' steps."""
        return self.visual(features, is_valid)

    def embed_audio(
        self, features: Float[Tensor, "B A E"], num_steps: int, is_valid: Bool[Tensor, "B A"] | None = None
    ) -> Float[Tensor, "B F P"]:
        """Unit-norm embeddings of audio at ``num_steps`` of the frames' steps."""
        embedded = self.audio(features, is_valid)
        return nearest_at(embedded, self.audio_size.rate, num_steps, self.visual_size.rate)


class SequenceEncoder(nn.Module):
    """A linear, blocks with ALiBi in seconds, a linear to the common space."""

    def __init__(self, config: SCAVConfig, size: StreamSize) -> None:
        super().__init__()
        self.rate = size.rate
        self.num_heads = config.num_heads
        self.enter = nn.Linear(size.width, config.width)
        self.blocks = nn.ModuleList(
            ConditionedBlock(config.width, config.num_heads, config.feed_forward_ratio)
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.embed_dim)

    def forward(
        self, features: Float[Tensor, "B N E"], is_valid: Bool[Tensor, "B N"] | None
    ) -> Float[Tensor, "B N P"]:
        """Unit-norm embeddings of each step; padding is not attended to."""
        x = self.enter(features.to(self.enter.weight.dtype))
        times = frame_times(features.shape[1], self.rate).to(x.device)
        bias = alibi_bias(times * ALIBI_RATE, self.num_heads, is_asymmetric=True)
        if is_valid is not None:
            bias = bias.masked_fill(~is_valid[:, None, None, :], FAR)
        for block in self.blocks:
            x = block(x, bias)
        return F.normalize(self.leave(self.norm(x)).float(), dim=-1)
