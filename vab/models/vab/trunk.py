"""What VAB and its encoder share: frames and codes in one sequence, the blocks, the first N1 of which encode."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from vab.models.vab.config import VABConfig
from vab.nn.attention import alibi_bias
from vab.nn.embedding import CodeEmbedding
from vab.nn.multiway import FeedForward, ModalityExperts, MultiwayBlock
from vab.nn.pooling import mean_pool
from vab.shapes import Bool, Float, Int, Tensor
from vab.timing import frame_times, step_times


class Trunk(nn.Module):
    """Input embeddings and multiway blocks (paper section 3.2); subclasses say how many and what follows."""

    no_visual: nn.Parameter | None

    def __init__(self, config: VABConfig, num_layers: int) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.code_embedding = CodeEmbedding(
            config.num_codebooks, config.codebook_size, config.codebook_dim, width
        )
        self.visual_embedding = nn.Linear(config.visual_dim, width)
        self.register_parameter("no_visual", None)  # only a model whose condition can be dropped has it
        self.audio_modality = nn.Parameter(torch.zeros(width))
        self.visual_modality = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            MultiwayBlock(width, config.num_heads, self._feed_forward(layer)) for layer in range(num_layers)
        )

    def encode(
        self,
        codes: Int[Tensor, "B K S"] | None = None,
        visual: Float[Tensor, "B F E"] | None = None,
        *,
        is_valid: Bool[Tensor, "B S"] | None = None,
        is_valid_visual: Bool[Tensor, "B F"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Features of one modality, or of both jointly, from the first N1 layers (sections 3.4 and 3.5).

        Args:
            codes: audio codes, none masked.
            visual: frame features at ``config.visual_fps``.
            is_valid: False where codes are padding, which nothing attends to; all real by default.
            is_valid_visual: the same of the frames.

        Raises:
            ValueError: neither codes nor visual features were given.
        """
        parts = []
        if visual is not None:
            parts.append(self._embed_visual(visual))
        if codes is not None:
            parts.append(self._embed_codes(codes))
        if not parts:
            raise ValueError("a VAB needs codes, visual features or both")
        num_frames, num_steps = _lengths(codes, visual)
        bias = self._bias(num_frames, num_steps, joined_validity(codes, visual, is_valid, is_valid_visual))
        x = torch.cat(parts, dim=1)
        for block in self.blocks[: self.config.num_encoder_layers]:
            x = block(x, bias, num_frames)
        return x

    def embed(
        self,
        codes: Int[Tensor, "B K S"] | None = None,
        visual: Float[Tensor, "B F E"] | None = None,
        *,
        is_valid: Bool[Tensor, "B S"] | None = None,
        is_valid_visual: Bool[Tensor, "B F"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """Unit-norm embedding, float32, of the audio or the frames of each clip (section 3.4); see ``encode``."""
        features = self.encode(codes, visual, is_valid=is_valid, is_valid_visual=is_valid_visual)
        is_real = joined_validity(codes, visual, is_valid, is_valid_visual)
        times = self._times(*_lengths(codes, visual))
        return F.normalize(self._pool(features, is_real, times.to(features.device)), dim=-1)

    def _pool(self, features: Tensor, is_valid: Tensor, times: Tensor) -> Tensor:
        """Features to one vector a clip; the paper's mean knows no times."""
        return mean_pool(features, is_valid)

    def _times(self, num_frames: int, num_steps: int) -> Float[Tensor, " N"]:
        """Seconds from the start of the clip, of each position of the joint sequence."""
        return torch.cat(
            [frame_times(num_frames, self.config.visual_fps), step_times(num_steps, self.config.frame_rate)]
        )

    def _feed_forward(self, layer: int) -> FeedForward | ModalityExperts:
        is_expert = self.config.has_experts and layer < self.config.num_encoder_layers
        kind = ModalityExperts if is_expert else FeedForward
        return kind(self.config.width, self.config.feed_forward_ratio)

    def _embed_visual(self, visual: Tensor, is_dropped: Tensor | None = None) -> Float[Tensor, "B F D"]:
        embedded = self.visual_embedding(visual.to(self.visual_embedding.weight.dtype))
        if is_dropped is not None:
            assert self.no_visual is not None
            embedded = torch.where(is_dropped[:, None, None], self.no_visual.to(embedded.dtype), embedded)
        return embedded + self.visual_modality

    def _embed_codes(self, codes: Tensor) -> Float[Tensor, "B S D"]:
        return self.code_embedding(codes) + self.audio_modality

    def _bias(
        self, num_frames: int, num_steps: int, is_key: Bool[Tensor, "B N"] | None
    ) -> Float[Tensor, "b H N N"]:
        """ALiBi over the joint sequence, frames first, and nothing from padding; b is 1 where nothing is padding."""
        config = self.config
        is_asymmetric = config.alibi == "asymmetric"
        if config.alibi == "index":
            positions = torch.arange(num_frames + num_steps, dtype=torch.float32)
        else:
            positions = self._times(num_frames, num_steps) * config.frame_rate
        positions = positions.to(self.audio_modality.device)
        bias = alibi_bias(positions, config.num_heads, is_asymmetric=is_asymmetric)
        if is_asymmetric and num_frames and num_steps:
            # Several steps share a frame: without this the frames would be outnumbered by the steps around them.
            bias[..., :num_frames] += math.log(config.frame_rate / config.visual_fps)
        if is_key is not None and not is_key.all():
            bias = bias.masked_fill(~is_key[:, None, None, :], float("-inf"))
        return bias


def _lengths(codes: Tensor | None, visual: Tensor | None) -> tuple[int, int]:
    """Frames and codec steps."""
    return 0 if visual is None else visual.shape[1], 0 if codes is None else codes.shape[2]


def joined_validity(
    codes: Int[Tensor, "B K S"] | None,
    visual: Float[Tensor, "B F E"] | None,
    is_valid: Bool[Tensor, "B S"] | None,
    is_valid_visual: Bool[Tensor, "B F"] | None,
) -> Bool[Tensor, "B N"]:
    """Which positions of the joint sequence are real, frames first; what is not said is real."""
    parts = []
    if visual is not None:
        everything = visual.new_ones(visual.shape[:2], dtype=torch.bool)
        parts.append(everything if is_valid_visual is None else is_valid_visual)
    if codes is not None:
        everything = codes.new_ones(codes[:, 0].shape, dtype=torch.bool)
        parts.append(everything if is_valid is None else is_valid)
    return torch.cat(parts, dim=1)
