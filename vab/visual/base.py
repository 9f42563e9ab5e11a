"""What every visual encoder offers: frames to features; and, of its own, a text tower."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from vab.errors import WeightsError
from vab.shapes import Float, Tensor


@runtime_checkable
class VisualEncoder(Protocol):
    """A frozen visual encoder (paper section 3.1, appendix B.1).

    It takes frames in chunks and gives some features of each: CLIP one of every frame, AVCLIP eight of every 16.
    """

    name: str
    image_size: int
    """Shorter side that a frame needs to have before ``preprocess``; larger ones are shrunk to it on decoding."""
    feature_shape: tuple[int, ...]
    """Of one feature: (E,), or more where it gives several layers or patches."""
    fps: float | None
    """Frames a second it was trained at; None = any."""
    frames_per_chunk: int
    features_per_chunk: int

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights: ties stores to encoders."""
        ...

    def preprocess(self, frames: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        """Frames uint8 [F, height, width, 3] of any size, to what ``encode_frames`` takes (on the CPU)."""
        ...

    def encode_frames(self, frames: Float[Tensor, "F 3 size size"]) -> Float[Tensor, "n ..."]:
        """Features [n, *feature_shape] of whole chunks of preprocessed frames, float32, not normalised.

        F is a multiple of ``frames_per_chunk``; chunks of different clips may come together.
        """
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """A text tower that shares its space with a visual encoder."""

    name: str
    embed_dim: int
    """E, the width of one feature."""

    def encode_text(self, texts: list[str]) -> Float[Tensor, "T E"]:
        """Features of texts, float32, not normalised."""
        ...


def text_encoder(encoder: VisualEncoder) -> TextEncoder:
    """An encoder as one of text.

    Raises:
        WeightsError: it has no text tower.
    """
    if not isinstance(encoder, TextEncoder):
        raise WeightsError(f"{encoder.name}: has no text tower; text needs a CLIP, such as EVA02-L-14")
    return encoder
