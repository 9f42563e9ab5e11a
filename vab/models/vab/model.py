"""VAB: frames and codes in one sequence, the codes' hidden entries predicted (paper section 3.2)."""

from __future__ import annotations

import torch
from torch import nn

from vab.models.vab.config import VABConfig
from vab.models.vab.trunk import Trunk
from vab.nn.initialise import initialise
from vab.shapes import Bool, Float, Int, Tensor


class VAB(Trunk):
    """A multiway transformer encoder over visual features and audio codes, and one head a codec level."""

    no_visual: nn.Parameter

    def __init__(self, config: VABConfig) -> None:
        super().__init__(config, config.num_layers)
        self.no_visual = nn.Parameter(torch.zeros(config.width))  # at every frame of a dropped condition
        self.norm = nn.LayerNorm(config.width)
        self.heads = nn.ModuleList(
            nn.Linear(config.width, config.codebook_size) for _ in range(config.num_codebooks)
        )
        self.apply(initialise)

    def forward(
        self,
        codes: Int[Tensor, "B K S"],
        visual: Float[Tensor, "B F E"],
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B K S V"]:
        """Logits of every code, hidden or not, from all layers.

        Args:
            codes: V, the mask token, where hidden.
            visual: frame features at ``config.visual_fps``.
            is_dropped: clips whose visual condition is taken away, all frames at once; none by default.
            is_valid: False where codes are padding, which nothing attends to; all real by default.
        """
        x, bias = self._join(codes, visual, is_dropped, is_valid)
        num_frames = visual.shape[1]
        for block in self.blocks:
            x = block(x, bias, num_frames)
        x = self.norm(x[:, num_frames:])
        return torch.stack([head(x) for head in self.heads], dim=1)
