"""The coarse-to-fine stage: frames and codes of all levels in one sequence, the fine levels predicted (section 3.3)."""

from __future__ import annotations

import torch
from torch import nn

from vab.models.coarse_to_fine.config import CoarseToFineConfig
from vab.nn.attention import alibi_bias
from vab.nn.embedding import CodeEmbedding
from vab.nn.initialise import initialise
from vab.nn.multiway import FeedForward, MultiwayBlock
from vab.shapes import Bool, Float, Int, Tensor
from vab.timing import frame_times, step_times


class CoarseToFine(nn.Module):
    """A bidirectional transformer without modality experts, and one head a fine level."""

    def __init__(self, config: CoarseToFineConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.code_embedding = CodeEmbedding(
            config.num_codebooks, config.codebook_size, config.codebook_dim, width
        )
        self.visual_embedding = nn.Linear(config.visual_dim, width)
        self.no_visual = nn.Parameter(torch.zeros(width))  # at every frame of a dropped condition
        self.audio_modality = nn.Parameter(torch.zeros(width))
        self.visual_modality = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            MultiwayBlock(width, config.num_heads, FeedForward(width, config.feed_forward_ratio))
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(
            nn.Linear(width, config.codebook_size) for _ in range(config.num_fine_codebooks)
        )
        self.apply(initialise)

    def forward(
        self,
        codes: Int[Tensor, "B K S"],
        visual: Float[Tensor, "B F E"],
        *,
        is_dropped: Bool[Tensor, " B"] | None = None,
        is_valid: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B fine S V"]:
        """Logits of every fine code, hidden or not.

        Args:
            codes: all levels; V, the mask token, where hidden, which coarse levels never are.
            visual: frame features at ``config.visual_fps``.
            is_dropped: clips whose visual condition is taken away, all frames at once; none by default.
            is_valid: False where codes are padding, which nothing attends to; all real by default.
        """
        num_frames = visual.shape[1]
        frames = self.visual_embedding(visual.to(self.visual_embedding.weight.dtype))
        if is_dropped is not None:
            frames = torch.where(is_dropped[:, None, None], self.no_visual.to(frames.dtype), frames)
        sound = self.code_embedding(codes) + self.audio_modality
        x = torch.cat([frames + self.visual_modality, sound], dim=1)
        bias = self._bias(num_frames, codes.shape[2], is_valid).to(x.device)
        for block in self.blocks:
            x = block(x, bias, num_frames)
        x = self.norm(x[:, num_frames:])
        return torch.stack([head(x) for head in self.heads], dim=1)

    def _bias(self, num_frames: int, num_steps: int, is_valid: Tensor | None) -> Tensor:
        """Attention's decay with time, in codec steps, and nothing from padding."""
        times = torch.cat(
            [
                frame_times(num_frames, self.config.visual_fps),
                step_times(num_steps, self.config.frame_rate),
            ]
        )
        bias = alibi_bias(times * self.config.frame_rate, self.config.num_heads)
        if is_valid is None or is_valid.all():
            return bias
        is_key = torch.nn.functional.pad(is_valid, (num_frames, 0), value=True)
        return bias.to(is_valid.device).masked_fill(~is_key[:, None, None, :], float("-inf"))
