"""VAB: frames and codes in one sequence, the codes' masked entries predicted (paper sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vab.models.vab.config import VABConfig
from vab.models.vab.trunk import Trunk
from vab.nn.initialise import initialise
from vab.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True)
class Condition:
    """What stays the same while codes are decoded."""

    frames: Float[Tensor, "B F D"]
    """Embedded."""
    bias: Float[Tensor, "b H N N"]
    """Of the attention over frames and codes."""


class VAB(Trunk):
    """A multiway transformer encoder over visual features and audio codes, and one head a predicted codebook."""

    no_visual: nn.Parameter

    def __init__(self, config: VABConfig) -> None:
        super().__init__(config, config.num_layers)
        self.no_visual = nn.Parameter(torch.zeros(config.width))  # at every frame of a dropped condition
        self.norm = nn.LayerNorm(config.width)
        self.heads = nn.ModuleList(
            nn.Linear(config.width, config.codebook_size) for _ in range(config.num_predicted_codebooks)
        )
        self.apply(initialise)

    def start_from(self, components: Mapping[str, Any]) -> None:
        """Start the code embeddings from the codec's codebooks; a ValueError where their shape is another."""
        self.code_embedding.load_codebooks(components["codes"].codebooks[: self.config.num_codebooks])

    def forward(
        self,
        codes: Int[Tensor, "B K S"],
        visual: Float[Tensor, "B F E"],
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Bool[Tensor, "B S"] | None = None,
        is_valid_visual: Bool[Tensor, "B F"] | None = None,
    ) -> Float[Tensor, "B predicted S V"]:
        """Logits of every code that is not given, masked or not, from all layers.

        Args:
            codes: V, the mask token, where masked, which given codebooks never are.
            visual: frame features at ``config.visual_fps``.
            is_dropped: clips whose visual condition is dropped, all frames at once; none by default.
            is_valid: False where codes are padding, which nothing attends to; all real by default.
            is_valid_visual: the same of the frames.
        """
        valid = {"codes": is_valid, "clip": is_valid_visual}
        condition = self.condition(
            {"clip": visual},
            codes.shape[2],
            is_dropped=is_dropped,
            is_valid={name: each for name, each in valid.items() if each is not None},
        )
        return self.predict(codes, condition)

    def condition(
        self,
        conditions: Mapping[str, Float[Tensor, "B _ E"]],
        num_steps: int,
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Mapping[str, Bool[Tensor, "B _"]] | None = None,
    ) -> Condition:
        """What ``predict`` needs besides the codes, prepared once for several passes; see ``forward``.

        Frame features are under "clip", ``num_steps`` is that of the codes, ``is_valid`` is of "codes" and "clip".
        """
        visual = conditions["clip"]
        frames = self._embed_visual(visual, is_dropped)
        is_key = None
        if is_valid:
            everything = torch.ones(1, 1, dtype=torch.bool, device=visual.device)
            real = [
                is_valid.get(name, everything).expand(len(visual), length)
                for name, length in (("clip", visual.shape[1]), ("codes", num_steps))
            ]
            is_key = torch.cat(real, dim=1)
        bias = self._bias(visual.shape[1], num_steps, is_key)
        return Condition(frames, bias.to(frames.dtype))

    def predict(self, codes: Int[Tensor, "B K S"], condition: Condition) -> Float[Tensor, "B predicted S V"]:
        """Logits of every code that is not given, with a condition for each clip."""
        num_frames = condition.frames.shape[1]
        x = torch.cat([condition.frames, self._embed_codes(codes)], dim=1)
        for block in self.blocks:
            x = block(x, condition.bias, num_frames)
        x = self.norm(x[:, num_frames:])
        return torch.stack([head(x) for head in self.heads], dim=1)
