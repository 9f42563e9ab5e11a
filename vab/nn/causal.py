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
        """Make room.

        Args:
            batch_size: B.
            size: positions in all.
            attention: whose keys and values these will be.
            like: of their type, on their device.
        """
        shape = (batch_size, attention.num_heads, size, attention.width // attention.num_heads)
        self.key, self.value = like.new_zeros(shape), like.new_zeros(shape)
        self.length = 0

    def append(
        self, key: Float[Tensor, "B H N d"], value: Float[Tensor, "B H N d"]
    ) -> tuple[Float[Tensor, "B H M d"], Float[Tensor, "B H M d"]]:
        """All keys and values, the new ones written after those of before: views, nothing is copied.

        Raises:
            ValueError: there is no room left.
        """
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
        """Attend to the past.

        Args:
            x: all positions, or those that follow what is in the cache.
            times: of these positions, in seconds, or their turns.
            cache: holds the positions before, and after the call these too; None = ``x`` is all there is.
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
