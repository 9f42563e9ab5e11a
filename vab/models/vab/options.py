"""Settings of VAB's pretraining objective (paper table 8)."""

from __future__ import annotations

from dataclasses import dataclass, field

from vab.masking.options import MaskRatio


@dataclass(frozen=True)
class MaskedPredictionOptions:
    """What is hidden and how errors are counted."""

    mask_ratio: MaskRatio = field(default_factory=MaskRatio)
    """Share of tokens hidden in a clip."""
    condition_drop_prob: float = 0.1
    """How often a whole clip's frames are taken away, for classifier-free guidance."""
    label_smoothing: float = 0.1
    """Of the cross-entropy over hidden tokens."""


@dataclass(frozen=True)
class ClassificationOptions:
    """How errors of a classifier are counted."""

    label_smoothing: float = 0.1
    """Of the binary cross-entropy: how far every target moves towards 1 / classes."""
