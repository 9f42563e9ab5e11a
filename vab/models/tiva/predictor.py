"""The layout predictor: frames to an audio layout (TiVA section 3.2.1, equations 3 and 4)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from vab.models.tiva.config import PredictorConfig
from vab.nn.attention import CrossAttention
from vab.nn.initialise import initialise
from vab.nn.interpolation import sample_at
from vab.nn.multiway import FeedForward
from vab.shapes import Bool, Float, Tensor
from vab.timing import frame_times, step_times


class LayoutPredictor(nn.Module):
    """Windowed encoder over pooled patches, decoder over one query a row of the layout.

    The paper's queries and its last linear layer span all frames, which fixes the length. Here positions are seconds, a
    query is one learnt vector plus the class tokens at its moment, and the linear layer works on each row: any length
    does. A sigmoid keeps the result a layout where only the generator's loss trains it.
    """

    def __init__(self, config: PredictorConfig) -> None:
        super().__init__()
        self.config = config
        width, num_heads = config.width, config.num_heads
        self.sees_patches = "patches" in config.attention
        if self.sees_patches:
            self.patch_embedding = nn.Linear(config.visual_layers * config.visual_dim, width)
            self.cell_embedding = nn.Parameter(torch.randn(config.visual_cells, width) / 2)
        self.class_layers = config.class_layers or config.visual_layers
        self.class_embedding = nn.Linear(self.class_layers * config.visual_dim, width)
        self.query = nn.Parameter(torch.randn(width) / 2)
        num_encoder_layers = config.num_encoder_layers if self.sees_patches else 0
        self.encoder = nn.ModuleList(Block(width, num_heads, ("near",)) for _ in range(num_encoder_layers))
        self.decoder = nn.ModuleList(
            Block(width, num_heads, config.attention) for _ in range(config.num_decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.layout_bands)
        self.apply(initialise)

    def forward(self, features: Float[Tensor, "B F T E"], num_rows: int) -> Float[Tensor, "B M C"]:
        """The layout of M rows, in [0, 1], from the stream "clip-layers"; beyond the last frame it repeats."""
        config = self.config
        layers = features.to(self.out.weight.dtype).unflatten(
            2, (config.visual_layers, 1 + config.visual_cells)
        )
        layers = nn.functional.layer_norm(layers, layers.shape[-1:])
        times = frame_times(features.shape[1], config.visual_fps).to(features.device)
        patch_times = times.repeat_interleave(config.visual_cells)
        patches = self._encode(layers[:, :, :, 1:], patch_times) if self.sees_patches else None

        rows = step_times(num_rows, config.layout_rate).to(features.device)
        classes = layers[:, :, -self.class_layers :, 0].flatten(2)
        x = self.class_embedding(sample_at(classes, config.visual_fps, rows)) + self.query
        is_near = self._near(rows)
        for block in self.decoder:
            x = block(x, rows, is_near, patches, patch_times)
        return self.out(self.norm(x)).sigmoid()

    def _encode(
        self, cells: Float[Tensor, "B F L P E"], times: Float[Tensor, " N"]
    ) -> Float[Tensor, "B N D"]:
        """The patches of all frames, N = F P."""
        patches = self.patch_embedding(cells.transpose(2, 3).flatten(3)) + self.cell_embedding
        patches, is_near = patches.flatten(1, 2), self._near(times)
        for block in self.encoder:
            patches = block(patches, times, is_near)
        return patches

    def _near(self, times: Tensor) -> Bool[Tensor, "1 1 N N"]:
        """True where two moments are in one window."""
        distance = (times[:, None] - times).abs()
        return (distance <= self.config.window_seconds / 2)[None, None]


class Block(nn.Module):
    """Self-attention over all rows, cross-attention to the patches, windowed self-attention, feed-forward network.

    Of the three kinds of attention those that are asked for; the encoder's blocks have the windowed one alone.
    """

    def __init__(self, width: int, num_heads: int, attention: Collection[str]) -> None:
        super().__init__()
        self.attention = attention
        if "everywhere" in attention:
            self.everywhere = Attention(width, num_heads)
        if "patches" in attention:
            self.cross_norm = nn.LayerNorm(width)
            self.cross = CrossAttention(width, width, num_heads)
        if "near" in attention:
            self.near = Attention(width, num_heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, 4)

    def forward(
        self,
        x: Tensor,
        times: Tensor,
        is_near: Tensor,
        patches: Tensor | None = None,
        patch_times: Tensor | None = None,
    ) -> Float[Tensor, "B M D"]:
        """One layer."""
        if "everywhere" in self.attention:
            x = self.everywhere(x, times)
        if "patches" in self.attention:
            x = x + self.cross(self.cross_norm(x), patches, times=(times, patch_times))
        if "near" in self.attention:
            x = self.near(x, times, is_near)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Attention(nn.Module):
    """Self-attention with rotary positions in seconds, normalised before and added after."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, width, num_heads)

    def forward(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> Float[Tensor, "B N D"]:
        """Attend where the mask is True, everywhere without one."""
        normed = self.norm(x)
        return x + self.attention(normed, normed, mask, times=(times, times))
