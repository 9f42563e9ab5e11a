"""What masked prediction hides and how it counts errors, as a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class MaskRatio:
    """A Gaussian cut to an interval (paper section 3.2; appendix C.5 compares means)."""

    mean: float = 0.55
    """Centre of the Gaussian before it is cut."""
    std: float = 0.25
    """Its standard deviation."""
    minimum: float = 0.5
    """No clip hides a smaller share of its tokens."""
    maximum: float = 1.0
    """No clip hides a larger share."""

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum <= 1:
            raise ValueError(
                f"mask ratio needs 0 <= minimum <= maximum <= 1, not {self.minimum} and {self.maximum}"
            )
        if self.std <= 0:
            raise ValueError(f"mask ratio needs std > 0, not {self.std}")


@dataclass(frozen=True)
class MaskedPredictionOptions:
    """What is hidden and how errors are counted."""

    mask_ratio: MaskRatio = field(default_factory=MaskRatio)
    """Share of tokens hidden in a clip."""
    condition_drop_prob: float = 0.1
    """How often a whole clip's frames are taken away, for classifier-free guidance."""
    label_smoothing: float = 0.1
    """Of the cross-entropy over hidden tokens."""
