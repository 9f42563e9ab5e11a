"""The transformer encoder of MaskVAT's conditions, and the attention's biases."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from vab.models.maskvat.config import MaskVATConfig
from vab.nn.adaln import ConditionedBlock
from vab.nn.attention import FAR, alibi_bias
from vab.nn.interpolation import nearest_at
from vab.shapes import Bool, Float, Tensor
from vab.timing import frame_times


def biased(
    config: MaskVATConfig, queries: Float[Tensor, " N"], keys: Float[Tensor, " M"] | None = None
) -> Float[Tensor, "1 H N M"]:
    """Asymmetric ALiBi between positions in seconds, whose distances count in codec steps."""
    scaled = None if keys is None else keys * config.frame_rate
    return alibi_bias(queries * config.frame_rate, config.num_heads, is_asymmetric=True, keys=scaled)


def masked(bias: Float[Tensor, "1 H N M"], is_key: Bool[Tensor, "B M"] | None) -> Float[Tensor, "b H N M"]:
    """The bias without the keys that are padding; b is 1 where none is said to be."""
    return bias if is_key is None else bias.masked_fill(~is_key[:, None, None, :], FAR)


class ConditionEncoder(nn.Module):
    """[CLS] and all conditions, side by side at the steps of the first, through a transformer (figure 1 b)."""

    def __init__(self, config: MaskVATConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.join = nn.Linear(len(config.conditions) * width, width)
        self.cls = nn.Parameter(torch.randn(width))
        self.blocks = nn.ModuleList(
            ConditionedBlock(width, config.num_heads, config.feed_forward_ratio)
            for _ in range(config.num_encoder_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        streams: Mapping[str, Float[Tensor, "B _ D"]],
        steps: Float[Tensor, " S"],
        is_valid: Mapping[str, Bool[Tensor, "B _"]],
    ) -> tuple[Float[Tensor, "B M D"], Float[Tensor, "b H S M"]]:
        """The encoded sequence, [CLS] first, and the bias of attention to it from ``steps``, times in seconds.

        ``streams`` are the conditions after their front ends; ``is_valid`` is looked at for the first one.
        """
        sizes = self.config.conditions
        first = next(iter(sizes))
        length, rate = streams[first].shape[1], sizes[first].rate
        resampled = [nearest_at(each, sizes[name].rate, length, rate) for name, each in streams.items()]
        x = self.join(torch.cat(resampled, dim=2))
        x = torch.cat([self.cls.to(x.dtype).expand(len(x), 1, -1), x], dim=1)
        is_key = is_valid.get(first)
        if is_key is not None:
            is_key = F.pad(is_key, (1, 0), value=True)
        times = frame_times(length, rate).to(x.device)
        # [CLS] is at no time: near to everything.
        bias = masked(F.pad(biased(self.config, times), (1, 0, 1, 0)), is_key).to(x.dtype)
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x), masked(F.pad(biased(self.config, steps, times), (1, 0)), is_key)
