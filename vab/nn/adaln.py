"""Transformer blocks that a condition enters by cross-attention, by AdaLN at each position, or by both."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from vab.nn.attention import CrossAttention, SelfAttention
from vab.nn.multiway import FeedForward
from vab.shapes import Float, Tensor


class Residual(nn.Module):
    """A pre-norm residual branch around any layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "B N D"], layer: Callable[[Tensor], Tensor], modulation: None = None
    ) -> Float[Tensor, "B N D"]:
        """x + layer(norm(x))."""
        return x + layer(self.norm(x))


class AdaLNResidual(nn.Module):
    """The same with shift, scale and gate from a condition at each position (Peebles and Xie 2023, section 3.2).

    Their condition is one vector a sample; MaskVAT's is a sequence as long as the positions (its section 3.2). Scale
    and gate are deviations from 1 without a bias, so that a zero condition, and any at the start of a training, leaves
    a plain block.
    """

    def __init__(self, width: int, condition_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = nn.Parameter(torch.zeros(3 * width, condition_width))

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        layer: Callable[[Tensor], Tensor],
        modulation: Float[Tensor, "B N C"],
    ) -> Float[Tensor, "B N D"]:
        """x + (1 + gate) * layer((1 + scale) * norm(x) + shift)."""
        shift, scale, gate = F.linear(F.silu(modulation), self.modulation).chunk(3, dim=-1)
        return x + (1 + gate) * layer((1 + scale) * self.norm(x) + shift)


class ConditionedBlock(nn.Module):
    """Self-attention, cross-attention where there is a context, a feed-forward network; each a residual branch.

    ``context_width`` is that of what cross-attention looks at, ``modulation_width`` that of what modulates every branch
    by AdaLN; None = there is no such thing. ``ratio`` is the feed-forward network's inner width, in widths.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        ratio: int,
        *,
        context_width: int | None = None,
        modulation_width: int | None = None,
    ) -> None:
        super().__init__()

        def branch() -> Residual | AdaLNResidual:
            return Residual(width) if modulation_width is None else AdaLNResidual(width, modulation_width)

        self.attention, self.attend = branch(), SelfAttention(width, num_heads)
        self.cross, self.look = None, None
        if context_width is not None:
            self.cross, self.look = branch(), CrossAttention(width, context_width, num_heads)
        self.feed_forward, self.transform = branch(), FeedForward(width, ratio)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        bias: Float[Tensor, "b H N N"],
        *,
        modulation: Float[Tensor, "B N C"] | None = None,
        context: Float[Tensor, "B M E"] | None = None,
        context_bias: Float[Tensor, "_ H N M"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """One layer; the biases are of the self-attention and of the cross-attention."""
        x = self.attention(x, lambda normed: self.attend(normed, bias), modulation)
        if self.cross is not None and self.look is not None:
            look = self.look
            x = self.cross(x, lambda normed: look(normed, context, context_bias), modulation)
        return self.feed_forward(x, self.transform, modulation)
