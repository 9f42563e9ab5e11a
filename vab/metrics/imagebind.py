"""ImageBind's towers of frames and of sound, the network under the field's audio-visual score, from its own file.

Girdhar et al., CVPR 2023; the weights are under CC-BY-NC-SA 4.0. The embeddings of a clip's pieces are averaged, as its
authors do.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vab.metrics.imagebind_inputs import NUM_MELS, NUM_WINDOWS, SAMPLE_RATE, mel_pieces, picture_pieces
from vab.metrics.published import load_published
from vab.shapes import Float, Tensor

_SOUND_PATCH, _SOUND_STRIDE = 16, 10
_HEADS = {"vision": 16, "audio": 12}
"""The one size of a tower that its weights do not show."""
_EPS = 1e-6


class Tower(nn.Module):
    """Patches to one embedding."""

    def __init__(self, modality: str, state: Mapping[str, Tensor]) -> None:
        """Of the sizes that its weights have, which ``state`` holds under ``vision.`` and ``audio.``.

        Raises:
            KeyError: a tensor that tells a size is missing.
            ValueError: the width does not fit the heads.
            IndexError: a tensor has too few axes.
        """
        super().__init__()
        joint_width, width = state[f"{modality}.heads.2.weight"].shape
        num_heads = _HEADS[modality]
        if width % num_heads:
            raise ValueError(f"{width} channels do not make {num_heads} heads")
        self.proj: nn.Module
        self.norm_layer: nn.Module
        if modality == "vision":
            kernel = state["vision.proj.1.weight"].shape
            patch = (kernel[2], kernel[3], kernel[4])
            side = math.isqrt(state["vision.pos_embed"].shape[1])
            self.image_size = patch[-1] * side
            num_patches = side**2
            convolution = nn.Conv3d(3, width, patch, stride=patch, bias=False)
            self.proj = nn.Sequential(nn.Identity(), convolution)
            self.norm_layer = nn.Identity()
            self.pre_transformer_layer = nn.Sequential(nn.LayerNorm(width, eps=_EPS))
        else:
            extents = (NUM_MELS, NUM_WINDOWS)
            num_patches = math.prod((each - _SOUND_PATCH) // _SOUND_STRIDE + 1 for each in extents)
            self.proj = nn.Conv2d(1, width, _SOUND_PATCH, stride=_SOUND_STRIDE, bias=False)
            self.norm_layer, self.pre_transformer_layer = nn.LayerNorm(width), nn.Sequential()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, num_patches + 1, width))
        depth = len({name.split(".")[2] for name in state if name.startswith(f"{modality}.blocks.")})
        blocks = (_Block(width, num_heads, bias_tokens=modality == "audio") for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)
        # The authors pick the first token in between, where this has nothing: it is picked before.
        self.heads = nn.Sequential(
            nn.LayerNorm(width, eps=_EPS), nn.Identity(), nn.Linear(width, joint_width, bias=False)
        )

    def forward(self, inputs: Tensor) -> Float[Tensor, "B P"]:
        """Unit-norm embeddings of pairs of frames [B, 3, 2, H, W] or of mel bands [B, 1, M, T]."""
        patches = self.norm_layer(self.proj(inputs).flatten(2).transpose(1, 2))
        tokens = torch.cat([self.cls_token.expand(len(inputs), -1, -1), patches], dim=1)
        tokens = self.blocks(self.pre_transformer_layer(tokens + self.pos_embed))
        return F.normalize(self.heads(tokens[:, 0]), dim=-1)


class ImageBind:
    """The two towers with their weights."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path = "imagebind", *, device: str = "cpu") -> None:
        """Load the official file without its towers of words, depth, heat and motion: see :func:`load_published`."""
        self._towers: Any = load_published("ImageBind", weights, _build, device=device, rename=_own_name)
        self._device = device

    def embed_audio(self, audio: Float[Tensor, "1 L"]) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound at ``SAMPLE_RATE``, of three pieces of it."""
        return self._embed("audio", mel_pieces(audio))

    def embed_video(self, video: str | Path, *, start: float, duration: float) -> Float[Tensor, " P"]:
        """Unit-norm embedding of ``duration`` seconds of frames, of five pieces of them.

        Raises:
            MediaError: the file cannot be read or has no video.
        """
        return self._embed(
            "vision", picture_pieces(Path(video), self._towers["vision"].image_size, start, duration)
        )

    @torch.inference_mode()
    def _embed(self, modality: str, pieces: Tensor) -> Tensor:
        embeddings = self._towers[modality](pieces.to(self._device))
        return F.normalize(embeddings.mean(dim=0), dim=0).cpu()


def _own_name(key: str) -> str | None:
    """``audio.blocks.0`` for ``modality_trunks.audio.blocks.0``; the scale of logits is for no cosine."""
    part, _, rest = key.removeprefix("modality_").partition(".")
    modality, _, name = rest.partition(".")
    if modality not in _HEADS or part == "postprocessors":
        return None
    own = f"heads.{name}" if part == "heads" else name
    return f"{modality}.{own.removeprefix('rgbt_stem.').removeprefix('pos_embedding_helper.')}"


def _build(state: Mapping[str, Tensor]) -> nn.ModuleDict:
    towers = nn.ModuleDict()
    for modality in _HEADS:
        try:
            towers[modality] = Tower(modality, state)
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(f"no tower of ImageBind for {modality}") from error
    return towers


class _Block(nn.Module):
    """One layer of a transformer, norms first."""

    def __init__(self, width: int, num_heads: int, *, bias_tokens: bool) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, eps=_EPS) for _ in range(2))
        self.attn = nn.MultiheadAttention(width, num_heads, add_bias_kv=bias_tokens, batch_first=True)
        layers = {"fc1": nn.Linear(width, 4 * width), "act": nn.GELU(), "fc2": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        normed = self.norm_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.norm_2(tokens))
