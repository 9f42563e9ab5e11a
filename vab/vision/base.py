"""What every visual encoder offers: frames (and words) to features of one space."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from vab.shapes import Float, Tensor


@runtime_checkable
class VisualEncoder(Protocol):
    """A frozen image encoder with its text tower (paper section 3.1, appendix B.1)."""

    name: str
    embed_dim: int
    """E, the width of one feature."""
    image_size: int
    """Side of the square picture the tower sees."""

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights: ties stores to encoders."""
        ...

    def preprocess(self, frames: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        """Frames uint8 [F, height, width, 3] of any size, to what ``encode_image`` takes (on the CPU)."""
        ...

    def encode_image(self, images: Float[Tensor, "F 3 size size"]) -> Float[Tensor, "F E"]:
        """Features of preprocessed frames, float32, not normalised; batch frames across clips freely."""
        ...

    def encode_text(self, texts: list[str]) -> Float[Tensor, "T E"]:
        """Features of words in the same space, float32, not normalised."""
        ...
