"""Segment AVCLIP (Iashin et al., ICASSP 2024): the tower that sees motion, for Synchformer's scores and as a stream.

It was trained to tell the sound of a segment of 0.64 s from others; V-AURA is conditioned on it (section III.A).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from vab import checkpoint
from vab.errors import WeightsError
from vab.shapes import Float, Tensor
from vab.visual.preprocess import Preprocess
from vab.weights import resolve

NAME, DEFAULT_WEIGHTS = "avclip", "synchformer"
FPS = 25.0
SEGMENT_FRAMES = 16
"""Frames that are looked at together."""
_TUBE_FRAMES = 2
SEGMENT_FEATURES = SEGMENT_FRAMES // _TUBE_FRAMES
"""What the tower gives of a segment: one feature for two frames."""
HEADS = 12
"""The one size of a layer that its weights do not show."""
ZOOM = 256 / 224
"""Shorter side of a frame before its central square is cut, in sides of that square."""
_EPS = 1e-6
_SEGMENTS_AT_ONCE = 4
_UNUSED = "patch_embed."
"""A layer for single frames, which the files have and nothing goes through."""
_PREFIXES = ("vfeat_extractor.", "module.v_encoder.", "v_encoder.", "")
"""Of the tower's tensors: in Synchformer's file, in those of Segment AVCLIP alone, in one of our own."""


class AvclipTower(nn.Module):
    """A MotionFormer: patches of two frames, attention over time and then over space in every layer, space pooled away.

    Names of its layers are those of the published files.
    """

    def __init__(self, width: int, patch: int, side: int, depth: int) -> None:
        super().__init__()
        self.image_size = patch * side
        shape = (_TUBE_FRAMES, patch, patch)
        self.patch_embed_3d = nn.ModuleDict({"proj": nn.Conv3d(3, width, shape, stride=shape)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side**2, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, SEGMENT_FEATURES, width))
        self.blocks = nn.Sequential(*(DividedBlock(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.spatial_attn_agg = TokenPool(width, HEADS)

    @classmethod
    def for_state(cls, state: Mapping[str, Tensor], prefix: str = "") -> AvclipTower:
        """A tower of the sizes that weights have, whose names begin with ``prefix``; without these weights.

        Raises:
            KeyError: a tensor that tells a size is missing.
            ValueError: the width does not fit the heads.
            IndexError: a tensor has too few axes.
        """
        width, patch = (state[f"{prefix}patch_embed_3d.proj.weight"].shape[axis] for axis in (0, 4))
        if width % HEADS:
            raise ValueError(f"{width} channels do not make {HEADS} heads")
        side = math.isqrt(state[f"{prefix}pos_embed"].shape[1] - 1)
        depth = sum(key.startswith(f"{prefix}blocks.") and key.endswith(".norm3.weight") for key in state)
        return cls(width, patch, side, depth)

    def forward(self, segments: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B t D"]:
        """One token for two frames."""
        patches = self.patch_embed_3d.get_submodule("proj")(segments).flatten(3).permute(0, 2, 3, 1)
        patches = patches + self.pos_embed[:, None, 1:] + self.temp_embed[:, :, None]
        whole = (self.cls_token + self.pos_embed[:, :1]).expand(len(segments), -1, -1)
        tokens = self.blocks(torch.cat([whole, patches.flatten(1, 2)], dim=1))
        return self.spatial_attn_agg(self.norm(tokens[:, 1:]).unflatten(1, (SEGMENT_FEATURES, -1)))


class DividedBlock(nn.Module):
    """One layer, norms first, numbered as in the file and not in the order in which they are passed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, eps=_EPS) for _ in range(3))
        self.timeattn, self.attn = (DividedAttention(width) for _ in range(2))
        layers = {"fc1": nn.Linear(width, 4 * width), "act": nn.GELU(), "fc2": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Of one shape."""
        tokens = tokens + self.timeattn(self.norm3(tokens), is_over_time=True)
        tokens = tokens + self.attn(self.norm1(tokens), is_over_time=False)
        return tokens + self.mlp(self.norm2(tokens))


class DividedAttention(nn.Module):
    """The first token looks at all; a patch at the first and at those of its place or of its moment."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "B N D"], *, is_over_time: bool) -> Float[Tensor, "B N D"]:
        """Of one shape."""

        def groups(patches: Tensor) -> Tensor:
            by_moment = patches.unflatten(1, (SEGMENT_FEATURES, -1))
            return by_moment.transpose(1, 2) if is_over_time else by_moment

        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        whole = attend_in_heads(query[:, :1], key, value, HEADS)
        asked = groups(query[:, 1:])

        def answering(each: Tensor) -> Tensor:
            first = each[:, None, :1].expand(-1, asked.shape[1], -1, -1)
            return torch.cat([first, groups(each[:, 1:])], dim=2).flatten(0, 1)

        mixed = attend_in_heads(asked.flatten(0, 1), answering(key), answering(value), HEADS).view_as(asked)
        patches = (mixed.transpose(1, 2) if is_over_time else mixed).flatten(1, 2)
        return self.proj(torch.cat([whole, patches], dim=1))


class TokenPool(nn.TransformerEncoderLayer):
    """One layer over the places or bands of a moment and a token of its own, which is all that stays of them."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__(
            width,
            num_heads,
            dim_feedforward=4 * width,
            dropout=0.0,
            activation=F.gelu,
            layer_norm_eps=_EPS,
            batch_first=True,
            norm_first=True,
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, tokens: Float[Tensor, "B t N D"]) -> Float[Tensor, "B t D"]:  # type: ignore[override]
        """One token a moment."""
        places = tokens.flatten(0, 1)
        both = torch.cat([self.cls_token.expand(len(places), -1, -1), places], dim=1)
        return super().forward(both)[:, 0].unflatten(0, tokens.shape[:2])


class AvclipEncoder:
    """The tower behind the ``VisualEncoder`` protocol: 16 frames of 25 a second in, 8 features out."""

    name = NAME
    fps: float | None = FPS
    frames_per_chunk = SEGMENT_FRAMES
    features_per_chunk = SEGMENT_FEATURES

    def __init__(self, tower: AvclipTower, *, dtype: torch.dtype = torch.float32) -> None:
        """Take a tower with its weights, on the device to run on."""
        self.tower = tower.eval().requires_grad_(False)
        self.dtype = dtype
        self.image_size = round(ZOOM * tower.image_size)
        self.feature_shape: tuple[int, ...] = (tower.norm.normalized_shape[0],)
        self._transform = Preprocess(size=self.image_size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        facts = {"type": NAME, "size": self.image_size, "crop": tower.image_size}
        self.fingerprint = checkpoint.fingerprint(facts, tower.state_dict().items())

    def preprocess(self, frames: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        """Frames uint8 [F, height, width, 3] of any size, to what ``encode_frames`` takes (on the CPU).

        Raises:
            ValueError: not uint8 [F, height, width, 3].
        """
        edge, size = (self.image_size - self.tower.image_size) // 2, self.tower.image_size
        return self._transform(frames)[..., edge : edge + size, edge : edge + size]

    @torch.no_grad()
    def encode_frames(self, frames: Float[Tensor, "F 3 size size"]) -> Float[Tensor, "n E"]:
        """Features of whole segments of preprocessed frames, float32."""
        device = self.tower.pos_embed.device
        segments = frames.unflatten(0, (-1, SEGMENT_FRAMES)).transpose(1, 2)
        found = []
        for piece in segments.split(_SEGMENTS_AT_ONCE):
            with torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                found.append(self.tower(piece.to(device)).flatten(0, 1).float())
        return torch.cat(found)


def load_avclip(
    weights: str | Path = DEFAULT_WEIGHTS,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> AvclipEncoder:
    """The encoder with published weights.

    Args:
        weights: ``synchformer``, whose file holds the tower that was trained on AudioSet, downloaded once; or a path of
            that file, of one of Segment AVCLIP's own, or of a safetensors with the tower's tensors.
        device: where to put it.
        dtype: precision of the arithmetic; weights stay float32.

    Raises:
        WeightsError: the file is absent, damaged or another.
    """
    path = resolve(weights)
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else checkpoint.load_torch_file(path)
    except WeightsError:
        raise
    except Exception as error:  # safetensors has its own
        raise WeightsError(f"{path}: not a safetensors file ({checkpoint.one_line(error)})") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    prefix = next((each for each in _PREFIXES if f"{each}pos_embed" in content), None)
    state: dict[str, Tensor] = {
        key.removeprefix(prefix): value.float()
        for key, value in content.items()
        if prefix is not None and key.startswith(prefix) and not key.startswith(prefix + _UNUSED)
    }
    try:
        tower = AvclipTower.for_state(state)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"{path}: holds no Segment AVCLIP; use the file of 'synchformer' that 'vab info' names"
        ) from error
    checkpoint.load_state(tower, state, path)
    return AvclipEncoder(tower.to(device), dtype=dtype)


def attend_in_heads(query: Tensor, key: Tensor, value: Tensor, num_heads: int) -> Tensor:
    """Attention of [B, N, D] in heads, to another [B, M, D]."""
    heads = [each.unflatten(-1, (num_heads, -1)).transpose(1, 2) for each in (query, key, value)]
    return F.scaled_dot_product_attention(heads[0], heads[1], heads[2]).transpose(1, 2).flatten(2)
