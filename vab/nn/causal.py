"""Attention to the past alone, step by step with a cache of fixed size."""

from __future__ import annotations

import torch
from torch import nn

from vab.nn.attention import attend, check_heads, split_heads
from vab.nn.rotary import Turns, rotate
from vab.shapes import Bool, Float, Tensor


class KeyValueCache:
    """Keys and values of the positions so far, in tensors whose shapes never change."""

    def __init__(self, batch_size: int, size: int, attention: CausalAttention, like: Tensor) -> None:
        """Room for ``size`` positions of an attention, of the type and on the device of ``like``."""
        shape = (batch_size, attention.num_heads, size, attention.width // attention.num_heads)
        self.key, self.value = like.new_zeros(shape), like.new_zeros(shape)
        self.length = 0

    def append(
        self, key: Float[Tensor, "B H N d"], value: Float[Tensor, "B H N d"]
    ) -> tuple[Float[Tensor, "B H M d"], Float[Tensor, "B H M d"]]:
        """All keys and values, as views, the new ones after those of before; a ValueError where there is no room."""
        end = self.length + key.shape[2]
        if end > self.key.shape[2]:
            raise ValueError(f"the cache has room for {self.key.shape[2]} positions, not for {end}")
        self.key[:, :, self.length : end] = key
        self.value[:, :, self.length : end] = value
        self.length = end
        return self.key[:, :, :end], self.value[:, :, :end]


class CausalAttention(nn.Module):
    """Multi-head self-attention to a position itself and those before it, with rotary positions in seconds."""

    def __init__(self, width: int, num_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        check_heads(width, num_heads)
        self.width = width
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        times: Float[Tensor, " N"] | Turns,
        cache: KeyValueCache | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Attend to the past: all positions, or those that follow what is in the cache, which then holds them too.

        ``times`` of these positions are in seconds, or their turns.
        """
        query, key, value = (split_heads(part, self.num_heads) for part in self.qkv(x).chunk(3, dim=-1))
        query, key = rotate(query, times), rotate(key, times)
        first = 0
        if cache is not None:
            first = cache.length
            key, value = cache.append(key, value)
        # A single position is the last and may look at all there are.
        mask = None if x.shape[1] == 1 else causal_mask(first, x.shape[1], key.shape[2], x.device)
        return self.out(attend(query, key, value, mask))


def causal_mask(
    first: int, num_queries: int, num_keys: int, device: torch.device | str = "cpu"
) -> Bool[Tensor, "1 1 N M"]:
    """True where query i, which is position ``first + i``, may look: at keys of positions up to its own."""
    position = first + torch.arange(num_queries, device=device)
    return (torch.arange(num_keys, device=device) <= position[:, None])[None, None]
