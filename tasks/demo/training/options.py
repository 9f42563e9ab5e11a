"""Options of the stages that only the demo trains, read from configs/codec, configs/visual and configs/demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vab.training.options import TrainingOptions


@dataclass(frozen=True)
class CodecOptions:
    """A codec and its training."""

    type: Literal["dac", "encodec"]
    """Architecture."""
    network: dict[str, Any]
    """Its size: the fields of ``DacConfig`` or ``EncodecConfig``."""
    training: TrainingOptions
    """Of the whole codec."""
    decoder_training: TrainingOptions
    """Of the decoder alone, afterwards, on the codes that the codec gives by then."""


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
