"""What every audio codec offers: waveform to codes and back, and its codebook vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from vab.shapes import Float, Int, Tensor

SAMPLE_RATES = (1_000, 768_000)
"""Lowest and highest that a codec may have."""


@runtime_checkable
class Codec(Protocol):
    """A frozen residual-quantisation codec on one device (paper section 3.1).

    ``encode`` and ``decode`` take batches and any length; long inputs are processed in overlapping
    pieces so that memory stays bounded and no seam is heard.
    """

    name: str
    """What it was loaded as, such as ``encodec-16khz`` or ``spectral-16khz``."""
    sample_rate: int
    """Samples a second, mono."""
    hop_length: int
    """Samples a codec step; ``frame_rate == sample_rate / hop_length``."""
    num_codebooks: int
    codebook_size: int
    codebook_dim: int

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights: ties stores to codecs."""
        ...

    @property
    def frame_rate(self) -> float:
        """Codec steps a second."""
        ...

    @property
    def codebooks(self) -> Float[Tensor, "K V Dc"]:
        """Codebook vectors, for initialising a model's embedding tables."""
        ...

    def encode(self, waveform: Float[Tensor, "B 1 L"]) -> Int[Tensor, "B K S"]:
        """Codes of mono sound at ``sample_rate``; S = ceil(L / hop_length), the tail zero-padded."""
        ...

    def decode(self, codes: Int[Tensor, "B K S"]) -> Float[Tensor, "B 1 L"]:
        """Sound of exactly S * hop_length samples.

        Raises:
            ValueError: a code outside [0, codebook_size), such as a [MASK] left over.
        """
        ...

    def decode_pieces(self, codes: Int[Tensor, "B K S"]) -> Iterator[Float[Tensor, "B 1 l"]]:
        """What ``decode`` gives, bit by bit, so that memory does not grow with the length."""
        ...
