"""Options of the stages that only the demo trains, read from configs/codec, configs/visual and configs/demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vab.training.options import TrainingOptions


@dataclass(frozen=True)
class CodecLossWeights:
    """Weights of the parts of a spectral codec's loss."""

    spectrum: float = 1.0
    """L1 of log mel amplitudes, nepers."""
    magnitude: float = 20.0
    """L1 of mel amplitudes: a logarithm's gradient fades with the level, so loud sound would stay too soft."""
    phase: float = 2.0
    """L1 of the complex STFT relative to the target's."""
    coefficients: float = 3.0
    """L1 of compressed MDCT coefficients."""
    commitment: float = 0.02
    """Squared distance of the residuals to their entries, all codebooks together."""
    coarse_alone: float = 0.5
    """``spectrum`` and ``magnitude``, weighted as above, of the sound of the coarse codebooks alone."""
    whiteness: float = 0.1
    """Distance of the detail from white and from what the coarse part tells: else most codebooks stay unused."""


@dataclass(frozen=True)
class CodecOptions:
    """A spectral codec, what it hears and how it is trained."""

    network: dict[str, Any]
    """Its size: the fields of ``SpectralConfig``."""
    loss: CodecLossWeights
    """Weights of the loss."""
    shares: dict[str, float]
    """How often a piece is of ``foley_world``, ``recordings`` or synthetic ``tones``, in proportion."""
    piece_seconds: float
    """Length of a piece."""
    num_unquantised_batches: int
    """Batches before the quantiser: k-means on an untrained encoder's near-constant outputs finds one
    cluster only."""
    training: TrainingOptions
    """How to train."""


@dataclass(frozen=True)
class TowerOptions:
    """A visual encoder and its training."""

    network: dict[str, Any]
    """An open_clip configuration."""
    frames_per_second: float
    """Of each clip, to learn from."""
    training: TrainingOptions
    """How to train."""


@dataclass(frozen=True)
class SyncOptions:
    """A small S3D and its training."""

    network: dict[str, Any]
    """The fields of ``S3DConfig``."""
    piece_seconds: float
    """Length of a piece's frames."""
    max_offset: int
    """Largest offset between sound and frames, in frames."""
    training: TrainingOptions
    """How to train."""


@dataclass(frozen=True)
class Amounts:
    """How much of everything a run makes and trains."""

    num_clips: dict[str, int]
    """By split."""
    num_codec_and_tower_clips: int
    """Of the training clips, the first, which codec and tower learn from. They overfit to these; the models that learn
    from their features should see others too."""
    training: dict[str, Any] = field(default_factory=dict)
    """What replaces the training options of every stage's configuration."""
    classifier_training: dict[str, Any] = field(default_factory=dict)
    """The same of the classifier, which counts in epochs."""
