"""The Transformer-UNet: convolutions, self- and cross-attention over latents (TiVA section 3.2.2).

One network for latents with a frequency axis, which is convolved and halved as time is, and for latents without one,
whose only band is never halved.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from vab.nn.attention import CrossAttention
from vab.nn.multiway import FeedForward
from vab.shapes import Float, Tensor
from vab.timing import step_times


class TransformerUNet(nn.Module):
    """Noisy latents with their layout to what is in them.

    Norms are over channels alone, so that a position does not depend on how much silence surrounds it. There is
    attention at every level but the first, where positions are most and convolutions do.

    ``widths`` are channels a level; a level has ``num_blocks`` blocks on the way down and one more on the way up;
    ``num_bands`` is 1 where there is no frequency axis; ``context_dim`` is the width of what cross-attention looks at.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_bands: int,
        widths: tuple[int, ...],
        num_blocks: int,
        num_heads: int,
        context_dim: int,
        rate: float,
    ) -> None:
        super().__init__()
        self.rate = rate
        self.width = widths[0]
        self.num_levels = len(widths)
        time_dim = 2 * widths[0]
        self.time = nn.Sequential(
            nn.Linear(widths[0], time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim), nn.SiLU()
        )
        is_flat = num_bands == 1

        def stage(wide_in: int, level: int, *, has_attention: bool) -> Stage:
            bands = 1 if is_flat else num_bands >> level
            heads = num_heads if has_attention else 0
            return Stage(wide_in, widths[level], time_dim, context_dim, heads, bands)

        self.enter = Convolution(in_channels, widths[0], is_flat=is_flat)
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        kept, current = [widths[0]], widths[0]
        for level, width in enumerate(widths):
            for _ in range(num_blocks):
                self.down.append(stage(current, level, has_attention=level > 0))
                current = width
                kept.append(current)
            if level < len(widths) - 1:
                self.downsample.append(Convolution(current, current, is_flat=is_flat, stride=2))
                kept.append(current)
        self.middle = stage(current, len(widths) - 1, has_attention=True)
        for level in reversed(range(len(widths))):
            for _ in range(num_blocks + 1):
                self.up.append(stage(current + kept.pop(), level, has_attention=level > 0))
                current = widths[level]
            if level > 0:
                self.upsample.append(Convolution(current, current, is_flat=is_flat))
        self.norm = nn.LayerNorm(current)
        self.leave = Convolution(current, out_channels, is_flat=is_flat)
        nn.init.zeros_(self.leave.convolution.weight)

    def forward(
        self,
        x: Float[Tensor, "B S W I"],
        steps: Float[Tensor, " B"],
        context: Float[Tensor, "B F P"],
        context_times: Float[Tensor, " F"],
    ) -> Float[Tensor, "B S W O"]:
        """One pass over any length S and W bands; ``steps`` are of the noise schedule, times are in seconds."""
        length, num_blocks = x.shape[1], len(self.down) // self.num_levels
        time = self.time(_waves(steps, self.width).to(x.dtype))
        x = self.enter(F.pad(x, (0, 0, 0, 0, 0, -length % 2 ** (self.num_levels - 1))))
        kept = [x]
        for level in range(self.num_levels):
            for block in self.down[level * num_blocks : (level + 1) * num_blocks]:
                x = block(x, time, context, context_times, self.rate / 2**level)
                kept.append(x)
            if level < self.num_levels - 1:
                x = self.downsample[level](x)
                kept.append(x)
        x = self.middle(x, time, context, context_times, self.rate / 2 ** (self.num_levels - 1))
        for number, level in enumerate(reversed(range(self.num_levels))):
            for block in self.up[number * (num_blocks + 1) : (number + 1) * (num_blocks + 1)]:
                x = block(
                    torch.cat([x, kept.pop()], dim=-1), time, context, context_times, self.rate / 2**level
                )
            if level > 0:
                x = x.repeat_interleave(2, dim=1)
                x = self.upsample[number](x if x.shape[2] == 1 else x.repeat_interleave(2, dim=2))
        return self.leave(F.silu(self.norm(x)))[:, :length]


class Convolution(nn.Module):
    """A convolution of 3 steps, and of 3 bands where there are several, over channels that come last."""

    def __init__(self, wide_in: int, wide_out: int, *, is_flat: bool, stride: int = 1) -> None:
        super().__init__()
        bands = 1 if is_flat else 3
        strides = (stride, 1 if is_flat else stride)
        self.convolution = nn.Conv2d(wide_in, wide_out, (3, bands), strides, (1, bands // 2))

    def forward(self, x: Float[Tensor, "B S W I"]) -> Float[Tensor, "B s w O"]:
        """Convolve."""
        return self.convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Stage(nn.Module):
    """Two convolutions that know the noise's step, then attention to all positions and to the context."""

    def __init__(
        self, wide_in: int, width: int, time_dim: int, context_dim: int, num_heads: int, num_bands: int
    ) -> None:
        super().__init__()
        is_flat = num_bands == 1
        self.norm_in = nn.LayerNorm(wide_in)
        self.first = Convolution(wide_in, width, is_flat=is_flat)
        self.modulation = nn.Linear(time_dim, 2 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.second = Convolution(width, width, is_flat=is_flat)
        self.skip = nn.Linear(wide_in, width) if wide_in != width else nn.Identity()
        self.attention = TransformerBlock(width, context_dim, num_heads, num_bands) if num_heads else None

    def forward(
        self, x: Tensor, time: Tensor, context: Tensor, context_times: Tensor, rate: float
    ) -> Float[Tensor, "B S W D"]:
        """The stage at ``rate`` steps a second."""
        scale, shift = self.modulation(time)[:, None, None].chunk(2, dim=-1)
        y = self.norm(self.first(F.silu(self.norm_in(x)))) * (1 + scale) + shift
        x = self.skip(x) + self.second(F.silu(y))
        return x if self.attention is None else self.attention(x, context, context_times, rate)


class TransformerBlock(nn.Module):
    """Self-attention over steps and bands, cross-attention to the context, feed-forward network."""

    def __init__(self, width: int, context_dim: int, num_heads: int, num_bands: int) -> None:
        super().__init__()
        self.bands = nn.Parameter(torch.zeros(num_bands, width))
        self.self_norm, self.cross_norm, self.feed_forward_norm = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = CrossAttention(width, width, num_heads)
        self.cross_attention = CrossAttention(width, context_dim, num_heads)
        self.feed_forward = FeedForward(width, 4)

    def forward(
        self, x: Tensor, context: Tensor, context_times: Tensor, rate: float
    ) -> Float[Tensor, "B S W D"]:
        """The block at ``rate`` steps a second."""
        shape = x.shape
        x = (x + self.bands).flatten(1, 2)
        times = step_times(shape[1], rate).to(x.device).repeat_interleave(shape[2])
        normed = self.self_norm(x)
        x = x + self.self_attention(normed, normed, times=(times, times))
        x = x + self.cross_attention(self.cross_norm(x), context, times=(times, context_times))
        return (x + self.feed_forward(self.feed_forward_norm(x))).view(shape)


def _waves(steps: Float[Tensor, " B"], width: int) -> Float[Tensor, "B D"]:
    """Sines and cosines of a step, as of a position (Vaswani et al. 2017)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=steps.device) / half)
    angle = steps[:, None].float() * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=1)
