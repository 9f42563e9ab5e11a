"""VAB: frames and codes in one sequence, the codes' hidden entries predicted (paper section 3.2)."""

from __future__ import annotations

import torch
from torch import nn

from vab.models.vab.config import VABConfig
from vab.nn.attention import alibi_bias
from vab.nn.embedding import CodeEmbedding
from vab.nn.multiway import FeedForward, ModalityExperts, MultiwayBlock
from vab.shapes import Bool, Float, Int, Tensor
from vab.timing import frame_times, step_times


class VAB(nn.Module):
    """A multiway transformer encoder over visual features and audio codes."""

    def __init__(self, config: VABConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.code_embedding = CodeEmbedding(
            config.num_codebooks, config.codebook_size, config.codebook_dim, width
        )
        self.visual_embedding = nn.Linear(config.visual_dim, width)
        self.no_visual = nn.Parameter(torch.zeros(width))  # stands at every frame of a dropped condition
        self.audio_modality = nn.Parameter(torch.zeros(width))
        self.visual_modality = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            MultiwayBlock(width, config.num_heads, self._feed_forward(layer))
            for layer in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(
            nn.Linear(width, config.codebook_size) for _ in range(config.num_codebooks)
        )
        self.apply(_initialise)

    def _feed_forward(self, layer: int) -> FeedForward | ModalityExperts:
        is_expert = self.config.has_experts and layer < self.config.num_encoder_layers
        kind = ModalityExperts if is_expert else FeedForward
        return kind(self.config.width, self.config.feed_forward_ratio)

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

    def encode(
        self,
        codes: Int[Tensor, "B K S"] | None = None,
        visual: Float[Tensor, "B F E"] | None = None,
        *,
        is_valid: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Features of one modality, or of both jointly, from the first N1 layers (sections 3.4 and 3.5).

        Raises:
            ValueError: neither codes nor visual features were given.
        """
        x, bias = self._join(codes, visual, None, is_valid)
        for block in self.blocks[: self.config.num_encoder_layers]:
            x = block(x, bias, 0 if visual is None else visual.shape[1])
        return x

    def _join(
        self,
        codes: Tensor | None,
        visual: Tensor | None,
        is_dropped: Tensor | None,
        is_valid: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The input sequence, frames first, and the attention bias that goes with it."""
        parts, times = [], []
        if visual is not None:
            embedded = self.visual_embedding(visual.to(self.visual_embedding.weight.dtype))
            if is_dropped is not None:
                embedded = torch.where(is_dropped[:, None, None], self.no_visual.to(embedded.dtype), embedded)
            parts.append(embedded + self.visual_modality)
            times.append(frame_times(visual.shape[1], self.config.visual_fps))
        if codes is not None:
            parts.append(self.code_embedding(codes) + self.audio_modality)
            times.append(step_times(codes.shape[2], self.config.frame_rate))
        if not parts:
            raise ValueError("a VAB needs codes, visual features or both")
        x = torch.cat(parts, dim=1)

        if self.config.alibi == "time":
            positions = torch.cat(times) * self.config.frame_rate
        else:
            positions = torch.arange(x.shape[1], dtype=torch.float32)
        bias = alibi_bias(positions.to(x.device), self.config.num_heads)
        if is_valid is not None and not is_valid.all():
            num_frames = x.shape[1] - is_valid.shape[1]
            is_key = nn.functional.pad(is_valid, (num_frames, 0), value=True)
            bias = bias.masked_fill(~is_key[:, None, None, :], float("-inf"))
        return x, bias


def _initialise(module: nn.Module) -> None:
    """Small normal weights and zero biases in the linears; the rest keeps its own start."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
