"""Settings of VAB's objectives (paper table 8); pretraining's are shared with other models of codes."""

from __future__ import annotations

from dataclasses import dataclass

from vab.masking.options import MaskedPredictionOptions

__all__ = ["ClassificationOptions", "ContrastiveOptions", "MaskedPredictionOptions"]


@dataclass(frozen=True)
class ClassificationOptions:
    """How errors of a classifier are counted."""

    label_smoothing: float = 0.1
    """Of the binary cross-entropy: how far every target moves towards 1 / classes."""


@dataclass(frozen=True)
class ContrastiveOptions:
    """How sound and pictures are brought together (paper section 3.4)."""

    temperature: float = 0.05
    """What similarities are divided by at first; it is learnt."""
    minimum_temperature: float = 0.01
    """The temperature never falls below this, where gradients would run wild (CLIP's limit)."""
    chunk_size: int | None = None
    """Clips encoded at a time; their activations are computed twice, so a batch of any size fits. None = all."""

    def __post_init__(self) -> None:
        if not 0 < self.minimum_temperature <= self.temperature:
            raise ValueError(
                f"temperature {self.temperature:g} must be at least minimum_temperature "
                f"{self.minimum_temperature:g}, and both positive"
            )
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, not {self.chunk_size}")
