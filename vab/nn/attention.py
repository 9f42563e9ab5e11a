"""Self- and cross-attention over one attention call, and ALiBi's bias over positions in time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from vab.nn.rotary import rotate
from vab.shapes import Bool, Float, Tensor

FAR = -1e4
"""Added to the scores of padding: its weight is zero, and where all is padding nothing becomes NaN."""
OTHER_SIDE = 4.0
"""How much steeper an asymmetric head decays on the side that it does not look at."""


def alibi_slopes(num_heads: int) -> Float[Tensor, " H"]:
    """One slope a head, 2^(-8h/H) for h = 1..H; between powers of two, the ALiBi authors' interpolation.

    Source: Press et al. 2021, section 3; their rule for other head counts takes the slopes of the power of two
    below, then every other slope of the power of two above.
    """

    def geometric(count: int) -> list[float]:
        return [2.0 ** (-8.0 * h / count) for h in range(1, count + 1)]

    below = 2 ** math.floor(math.log2(num_heads))
    slopes = geometric(below) + geometric(2 * below)[0::2][: num_heads - below]
    return torch.tensor(slopes)


def alibi_bias(
    positions: Float[Tensor, " N"],
    num_heads: int,
    *,
    is_asymmetric: bool = False,
    keys: Float[Tensor, " M"] | None = None,
) -> Float[Tensor, "1 H N M"]:
    """Attention bias -slope_h * |position_i - position_j|, symmetric by default.

    Keys are at the positions of the queries, or at ``keys``.

    A symmetric bias cannot tell what came before from what comes after: where all tokens are masked, and so alike,
    nothing else can either. Asymmetric, heads alternate between looking back and looking ahead: distance on a head's
    other side counts ``OTHER_SIDE`` times.

    Four dimensions, because scaled_dot_product_attention silently leaves its fast kernels for a mask of three.
    """
    ahead = (positions if keys is None else keys)[None, :] - positions[:, None]
    distance = ahead.abs().expand(num_heads, -1, -1)
    if is_asymmetric:
        looks_back = (torch.arange(num_heads, device=positions.device) % 2 == 0)[:, None, None]
        is_other_side = torch.where(looks_back, ahead > 0, ahead < 0)
        distance = torch.where(is_other_side, OTHER_SIDE * distance, distance)
    return (-alibi_slopes(num_heads).to(positions.device)[:, None, None] * distance)[None]


def attend(
    query: Float[Tensor, "B H N d"],
    key: Float[Tensor, "B H M d"],
    value: Float[Tensor, "B H M d"],
    mask: Float[Tensor, "b h n M"] | Bool[Tensor, "b h n M"] | None = None,
) -> Float[Tensor, "B N D"]:
    """Scaled dot-product attention, heads joined again.

    ``mask`` is added to the scores, or True where a query may look; a query that may look nowhere gives NaN.
    """
    if mask is not None and mask.is_floating_point():
        mask = mask.to(query.dtype)
    is_trained_on_cpu = query.device.type == "cpu" and torch.is_grad_enabled()
    if is_trained_on_cpu and query.dtype == torch.bfloat16:
        # The CPU kernel's backward pass in bfloat16 takes three times as long as plain products.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores + mask if mask.is_floating_point() else scores.masked_fill(~mask, float("-inf"))
        mixed = scores.softmax(dim=-1) @ value
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


def check_heads(width: int, num_heads: int) -> None:
    """Refuse a width that does not divide into heads by a ValueError."""
    if width % num_heads:
        raise ValueError(f"width {width} does not divide into {num_heads} heads")


def split_heads(x: Float[Tensor, "B N D"], num_heads: int) -> Float[Tensor, "B H N d"]:
    """A width's numbers by head."""
    return x.unflatten(2, (num_heads, -1)).transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention in both directions (paper section 3.2)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        check_heads(width, num_heads)
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "B N D"], bias: Float[Tensor, "b H N N"]) -> Float[Tensor, "B N D"]:
        """Attend everywhere; ``bias`` is added to the scores (b is 1, or B where clips differ in padding)."""
        query, key, value = (split_heads(part, self.num_heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.out(attend(query, key, value, bias))


class CrossAttention(nn.Module):
    """Multi-head attention from one sequence to another, of any width."""

    def __init__(self, width: int, context_width: int, num_heads: int) -> None:
        super().__init__()
        check_heads(width, num_heads)
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context_width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        context: Float[Tensor, "B M C"],
        mask: Float[Tensor, "b h n M"] | Bool[Tensor, "b h n M"] | None = None,
        *,
        times: tuple[Float[Tensor, " N"], Float[Tensor, " M"]] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """From x to the context; ``mask`` as in ``attend``, such as ``is_valid[:, None, None, :]``.

        With ``times`` of both, in seconds, positions are rotary; without, the context is a set.
        """
        query = split_heads(self.query(x), self.num_heads)
        key, value = (split_heads(part, self.num_heads) for part in self.key_value(context).chunk(2, dim=-1))
        if times is not None:
            query, key = rotate(query, times[0]), rotate(key, times[1])
        return self.out(attend(query, key, value, mask))
