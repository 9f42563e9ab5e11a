"""Networks that say what is in a sound (PANNs, PaSST), as one thing to the scorer that measures by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vab.shapes import Float, Tensor


@dataclass(frozen=True)
class Tagging:
    """What a network hears in one clip."""

    probabilities: Float[Tensor, " V"]
    """Softmax over AudioSet's classes, as the field's evaluators for video to audio have it, though a clip may be
    of several and the networks were trained with a sigmoid each: taken so, they are one distribution."""
    embedding: Float[Tensor, " E"]


@runtime_checkable
class Tagger(Protocol):
    """A network with its weights."""

    sample_rate: int
    """Of the sound it takes."""

    def __call__(self, waveform: Float[Tensor, "1 L"]) -> Tagging:
        """What is in one clip at ``sample_rate``."""
        ...
