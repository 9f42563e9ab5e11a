"""The decoder layer of Llama (Touvron et al. 2023): norms before, rotary positions, a gated network, no biases."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from vab.nn.causal import CausalAttention, KeyValueCache
from vab.nn.rotary import Turns
from vab.shapes import Float, Tensor


class SwiGLU(nn.Module):
    """A feed-forward network whose inner numbers are gated by others (Shazeer 2020)."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner_width, bias=False)
        self.inner = nn.Linear(width, inner_width, bias=False)
        self.out = nn.Linear(inner_width, width, bias=False)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Transform each position."""
        return self.out(F.silu(self.gate(x)) * self.inner(x))


class LlamaBlock(nn.Module):
    """Attention to the past, then a gated feed-forward network."""

    def __init__(self, width: int, num_heads: int, inner_width: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width)
        self.attention = CausalAttention(width, num_heads, bias=False)
        self.feed_forward_norm = nn.RMSNorm(width)
        self.feed_forward = SwiGLU(width, inner_width)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        times: Float[Tensor, " N"] | Turns,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "B N D"]:
        """One layer; see ``CausalAttention`` for the arguments."""
        x = x + self.attention(self.attention_norm(x), times, cache)
        return x + self.feed_forward(self.feed_forward_norm(x))
