"""MaskVAT: masked codes of all codebooks in parallel, from conditions at each step (figure 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vab.models.maskvat.config import MaskVATConfig
from vab.models.maskvat.encoder import ConditionEncoder, biased, masked
from vab.nn.adaln import ConditionedBlock
from vab.nn.embedding import CodeEmbedding
from vab.nn.initialise import initialise
from vab.nn.interpolation import nearest_at
from vab.shapes import Bool, Float, Int, Tensor
from vab.timing import step_times


@dataclass(frozen=True)
class Condition:
    """What stays the same while codes are decoded."""

    bias: Float[Tensor, "b H S S"]
    """Of the attention over steps."""
    modulation: Float[Tensor, "B S C"] | None
    """At each step, where blocks are modulated."""
    encoded: Float[Tensor, "B M D"] | None
    """[CLS] and the encoder's output, where there is one."""
    encoded_bias: Float[Tensor, "_ H S M"] | None
    """Of the attention from steps to ``encoded``."""


class MaskVAT(nn.Module):
    """Code embeddings, blocks that conditions enter, and one head for all codebooks."""

    def __init__(self, config: MaskVATConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.code_embedding = CodeEmbedding(
            config.num_codebooks, config.codebook_size, config.codebook_dim, width
        )
        self.front_ends = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(size.width, width), nn.GELU(), nn.Linear(width, width))
                for name, size in config.conditions.items()
            }
        )
        # [NULL], at every step of a dropped condition.
        self.null = nn.ParameterDict({name: torch.zeros(width) for name in config.conditions})
        self.encoder = ConditionEncoder(config) if config.has_encoder else None
        self.blocks = nn.ModuleList(
            ConditionedBlock(
                width,
                config.num_heads,
                config.feed_forward_ratio,
                context_width=width if config.has_encoder else None,
                modulation_width=len(config.modulating) * width or None,
            )
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.num_codebooks * config.codebook_size)
        self.apply(initialise)

    def start_from(self, components: Mapping[str, Any]) -> None:
        """Start the code embeddings from the codec's codebooks; a ValueError where their shape is another."""
        self.code_embedding.load_codebooks(components["codes"].codebooks[: self.config.num_codebooks])

    def condition(
        self,
        conditions: Mapping[str, Float[Tensor, "B _ E"]],
        num_steps: int,
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Mapping[str, Bool[Tensor, "B _"]] | None = None,
    ) -> Condition:
        """What ``predict`` needs besides the codes, prepared once for several passes.

        Args:
            conditions: features by stream, at the rates of ``config.conditions``.
            num_steps: S, of the codes.
            is_dropped: clips whose conditions are dropped, all streams and steps at once; none by default.
            is_valid: False where codes, or the first condition, are padding, which nothing attends to; all real by
                default.
        """
        config, is_valid = self.config, is_valid or {}
        streams = {name: self._front_end(name, conditions[name], is_dropped) for name in config.conditions}
        steps = step_times(num_steps, config.frame_rate).to(self.head.weight.device)
        bias = masked(biased(config, steps), is_valid.get("codes"))
        modulation = None
        if config.modulating:
            at_steps = [
                nearest_at(streams[name], config.conditions[name].rate, num_steps, config.frame_rate)
                for name in config.modulating
            ]
            modulation = torch.cat(at_steps, dim=2)
        encoded = encoded_bias = None
        if self.encoder is not None:
            encoded, encoded_bias = self.encoder(streams, steps, is_valid)
            encoded_bias = encoded_bias.to(encoded.dtype)
        return Condition(bias.to(self.head.weight.dtype), modulation, encoded, encoded_bias)

    def predict(self, codes: Int[Tensor, "B K S"], condition: Condition) -> Float[Tensor, "B K S V"]:
        """Logits of every code; codes are V, the mask token, where masked."""
        x = self.code_embedding(codes)
        for block in self.blocks:
            x = block(
                x,
                condition.bias,
                modulation=condition.modulation,
                context=condition.encoded,
                context_bias=condition.encoded_bias,
            )
        logits = self.head(self.norm(x)).unflatten(2, (self.config.num_codebooks, -1))
        return logits.transpose(1, 2)

    def forward(
        self,
        codes: Int[Tensor, "B K S"],
        conditions: Mapping[str, Float[Tensor, "B _ E"]],
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Mapping[str, Bool[Tensor, "B _"]] | None = None,
    ) -> Float[Tensor, "B K S V"]:
        """Logits of every code; see ``condition`` and ``predict``."""
        return self.predict(
            codes, self.condition(conditions, codes.shape[2], is_dropped=is_dropped, is_valid=is_valid)
        )

    def _front_end(self, name: str, stream: Tensor, is_dropped: Tensor | None) -> Float[Tensor, "B _ D"]:
        projected = self.front_ends[name](stream.to(self.head.weight.dtype))
        if is_dropped is None:
            return projected
        return torch.where(is_dropped[:, None, None], self.null[name].to(projected.dtype), projected)
