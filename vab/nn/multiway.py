"""Blocks of the multiway transformer: shared attention, feed-forward networks shared or one a modality."""

from __future__ import annotations

import torch
from torch import nn

from vab.nn.attention import SelfAttention
from vab.shapes import Float, Tensor


class FeedForward(nn.Module):
    """Two linear layers around a GELU, the same for every position."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )

    def forward(self, x: Float[Tensor, "B N D"], num_visual: int = 0) -> Float[Tensor, "B N D"]:
        """Transform each position; the split into modalities does not matter here."""
        return self.layers(x)


class ModalityExperts(nn.Module):
    """One feed-forward network for the visual positions, another for the audio positions."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.visual = FeedForward(width, ratio)
        self.audio = FeedForward(width, ratio)

    def forward(self, x: Float[Tensor, "B N D"], num_visual: int) -> Float[Tensor, "B N D"]:
        """The first ``num_visual`` positions are frames, the rest codec steps; either part may be empty."""
        # Contiguous: of anything else a linear layer takes a batch of products, with a copy of its weights for each.
        parts = []
        if num_visual:
            parts.append(self.visual(x[:, :num_visual].contiguous(), num_visual))
        if num_visual < x.shape[1]:
            parts.append(self.audio(x[:, num_visual:].contiguous(), 0))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class MultiwayBlock(nn.Module):
    """Pre-norm transformer layer with attention over the joint sequence (paper section 3.2)."""

    def __init__(self, width: int, num_heads: int, feed_forward: FeedForward | ModalityExperts) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, num_heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = feed_forward

    def forward(
        self, x: Float[Tensor, "B N D"], bias: Float[Tensor, "b H N N"], num_visual: int
    ) -> Float[Tensor, "B N D"]:
        """One layer over ``num_visual`` frames followed by codec steps."""
        x = x + self.attention(self.attention_norm(x), bias)
        return x + self.feed_forward(self.feed_forward_norm(x), num_visual)
