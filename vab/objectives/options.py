"""Settings of the objectives (paper table 8), as light dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vab.config import check_ranges


@dataclass(frozen=True)
class MaskRatio:
    """A Gaussian cut to an interval (paper section 3.2; appendix C.5 compares means)."""

    mean: float = 0.55
    """Centre of the Gaussian before it is cut."""
    std: float = 0.25
    """Its standard deviation."""
    minimum: float = 0.5
    """No smaller share of a clip's tokens is masked."""
    maximum: float = 1.0
    """No larger share is masked."""

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum <= 1:
            raise ValueError(
                f"mask ratio needs 0 <= minimum <= maximum <= 1, not {self.minimum} and {self.maximum}"
            )
        check_ranges(self, mean=(-10, 10), std=(1e-6, 1e6))


@dataclass(frozen=True)
class MaskedPredictionOptions:
    """What is masked and how errors are counted."""

    mask_ratio: MaskRatio = field(default_factory=MaskRatio)
    """Share of a clip's tokens that is masked."""
    condition_drop_prob: float = 0.1
    """How often a clip's whole condition is dropped, for classifier-free guidance."""
    label_smoothing: float = 0.1
    """Of the cross-entropy over masked tokens."""
    masking: Literal["gaussian", "cosine"] = "gaussian"
    """How a clip's tokens are masked: a share of them drawn from mask_ratio, or each with a probability of cos(u), u
    uniform on [0, pi/2] (MaskVAT)."""

    def __post_init__(self) -> None:
        check_ranges(self, condition_drop_prob=(0, 1), label_smoothing=(0, 1))


@dataclass(frozen=True)
class NextTokenOptions:
    """How errors of next-token prediction are counted."""

    condition_drop_prob: float = 0.1
    """How often a clip's whole condition is dropped, for classifier-free guidance."""
    label_smoothing: float = 0.0
    """Of the cross-entropy."""

    def __post_init__(self) -> None:
        check_ranges(self, condition_drop_prob=(0, 1), label_smoothing=(0, 1))


@dataclass(frozen=True)
class ClassificationOptions:
    """How errors of a classifier are counted."""

    label_smoothing: float = 0.1
    """Of the binary cross-entropy: how far every target moves towards 1 / classes."""

    def __post_init__(self) -> None:
        check_ranges(self, label_smoothing=(0, 1))


@dataclass(frozen=True)
class ContrastiveOptions:
    """How audio and frames of a clip are brought together (paper section 3.4)."""

    temperature: float = 0.05
    """What similarities are divided by at first; it is learnt."""
    minimum_temperature: float = 0.01
    """The temperature never falls below this, where gradients would explode (CLIP's limit)."""
    chunk_size: int | None = None
    """Clips encoded at a time; their activations are computed twice, so a batch of any size fits. None = all."""

    def __post_init__(self) -> None:
        if not 0 < self.minimum_temperature <= self.temperature:
            raise ValueError(
                f"temperature {self.temperature:g} must be at least minimum_temperature "
                f"{self.minimum_temperature:g}, and both positive"
            )
        check_ranges(self, temperature=(0, 1000), chunk_size=(1, 10**5))


@dataclass(frozen=True)
class LayoutOptions:
    """How errors of a layout predictor are counted: by the mean square alone (TiVA equation 8)."""


@dataclass(frozen=True)
class DenoisingOptions:
    """What a latent diffusion model learns from (TiVA section 3.3)."""

    layout: Literal["given", "predicted", "none"] = "predicted"
    """Layouts that are followed: those of the true sound, the predictor not being trained (equation 9), or those that
    the predictor gives, all parts being trained together (equation 10). none: silent ones, the predictor not being
    trained, to see what layouts are good for (table 5); give such a model a silent one at generation too."""
    layout_weight: float = 0.0
    """Of the predictor's own loss (equation 8) beside that of the noise, where layouts are predicted. The paper has
    none; without it nothing keeps what is predicted a layout, such as a user draws."""
    condition_drop_prob: float = 0.1
    """How often a clip's semantics are dropped, for classifier-free guidance."""

    def __post_init__(self) -> None:
        check_ranges(self, layout_weight=(0, 1e6), condition_drop_prob=(0, 1))
