"""Several layers of an image tower, class token and pooled patches, instead of one pooled vector (TiVA, equation 3)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vab.checkpoint import load_header
from vab.shapes import Float, Tensor
from vab.visual.avclip import DEFAULT_WEIGHTS, load_avclip
from vab.visual.avclip import NAME as AVCLIP
from vab.visual.base import VisualEncoder
from vab.visual.loading import load_encoder, own_file
from vab.visual.open_clip import IMAGES_PER_BATCH, OpenClipEncoder
from vab.visual.s3d import KIND, SPARSESYNC, load_s3d

PREFIX = "layers:"
"""Before the name of the encoder whose layers are wanted."""
GRID = 2
"""Cells a side, to which patches are pooled, so that a store holds a few vectors a frame and not hundreds."""


class LayeredEncoder:
    """A third, two thirds and all of a tower's layers, behind the ``VisualEncoder`` protocol.

    Of twelve layers these are numbers 4, 8 and 11, counted from 0, as in the paper. A feature is
    [layers * (1 + cells), width]: of each layer the class token, then its cells row by row.
    """

    fps: float | None = None
    frames_per_chunk: int = 1
    features_per_chunk: int = 1

    def __init__(self, encoder: OpenClipEncoder) -> None:
        self.encoder = encoder
        self.name = PREFIX + encoder.name
        self.image_size = encoder.image_size
        self._visual: Any = encoder.model.visual
        trunk = getattr(self._visual, "trunk", None)
        depth = len(trunk.blocks if trunk is not None else self._visual.transformer.resblocks)
        self.layers = sorted({depth // 3, 2 * depth // 3, depth - 1})
        blank = torch.zeros(1, 3, self.image_size, self.image_size)
        self.feature_shape: tuple[int, ...] = tuple(self.encode_frames(blank).shape[1:])

    @property
    def fingerprint(self) -> str:
        """The tower's own."""
        return self.encoder.fingerprint

    def preprocess(self, frames: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        """As the tower wants frames."""
        return self.encoder.preprocess(frames)

    @torch.no_grad()
    def encode_frames(self, frames: Float[Tensor, "F 3 size size"]) -> Float[Tensor, "F T E"]:
        """Features of preprocessed frames, float32, as the layers give them."""
        device, dtype = self.encoder.device, self.encoder.dtype
        if not len(frames):
            return torch.zeros(0, *self.feature_shape, device=device)
        found = []
        for batch in frames.split(IMAGES_PER_BATCH):
            with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
                layers = self._visual.forward_intermediates(
                    batch.to(device, torch.float32),
                    indices=self.layers,
                    intermediates_only=True,
                    output_fmt="NLC",
                    output_extra_tokens=True,
                )
            tokens = []
            for patches, prefix in zip(
                layers["image_intermediates"], layers["image_intermediates_prefix"], strict=True
            ):
                tokens += [prefix[:, :1], _pooled(patches)]
            found.append(torch.cat(tokens, dim=1).float())
        return torch.cat(found)


def _pooled(patches: Float[Tensor, "F N E"]) -> Float[Tensor, "F cells E"]:
    """Means over ``GRID`` x ``GRID`` cells of a square frame's patches."""
    side = math.isqrt(patches.shape[1])
    image = patches.transpose(1, 2).unflatten(2, (side, side))
    return F.adaptive_avg_pool2d(image.float(), GRID).flatten(2).transpose(1, 2)


def load_visual(name: str, **settings: Any) -> VisualEncoder:
    """A visual encoder of any kind: ``layers:NAME`` for the layers of an image tower, ``avclip``, ``s3d`` with
    SparseSync's weights or a file of a small S3D, or as ``load_encoder`` reads.

    A file that is called avclip or s3d holds the weights of that one, as beside a model's.

    Raises:
        WeightsError: as ``load_encoder``.
    """
    if Path(name).stem == AVCLIP:
        own = name if Path(name).suffix else DEFAULT_WEIGHTS
        weights = settings.pop("weights", None)
        return load_avclip(weights or own, **settings)
    if name.startswith(PREFIX):
        return LayeredEncoder(load_encoder(name.removeprefix(PREFIX), **settings))
    if Path(name).stem == SPARSESYNC:
        weights = settings.pop("weights", None) or (name if Path(name).suffix else None)
        return load_s3d(SPARSESYNC, weights=weights, **settings)
    if (file := own_file(name)) is not None and load_header(file).get("type") == KIND:
        return load_s3d(file, **settings)
    return load_encoder(name, **settings)
