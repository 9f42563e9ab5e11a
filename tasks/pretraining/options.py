"""Options of ``vab pretrain``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import short
from vab.decoding.options import DecodingOptions
from vab.models.vab.config import VABConfig
from vab.objectives.options import MaskedPredictionOptions
from vab.training.options import TrainingOptions


@dataclass(frozen=True)
class DataOptions:
    """Which clips, and what is done to them (paper appendix B.3)."""

    train_splits: list[str] = field(default_factory=lambda: ["train"])
    """Clips to learn from: names of splits, for all stores, or for single ones as in vggsound=train
    audioset=unbalanced_train,balanced_train. Stores without splits are learnt from whole."""
    validation_splits: list[str] = field(default_factory=list)
    """Clips to measure on, named in the same way; by default 'validation', and in stores without it one in twenty of
    the clips to learn from, which are then not learnt from."""
    num_validation_clips: int = 64
    """The first so many of them in each store."""
    crop_seconds: float | None = None
    """Length of a random piece of each clip; all of it by default."""
    mixup_prob: float = 0.5
    """How often a clip is the start of one and the end of another (temporal mixup)."""
    roll_prob: float = 0.1
    """How often a clip is rolled in time."""
    num_logged_clips: int = 2
    """Validation clips whose true and generated sound is logged."""


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """Train a model to predict masked audio codes, given the frames: a VAB (paper section 3.2) or its refiner (3.3).

    Start from a file in configs/; anything in it can be overridden: --training.max_steps 100.
    """

    store: list[Path]
    """Feature stores that 'vab extract' wrote; several are trained on as one, such as AudioSet and VGGSound."""
    out: Path = short("o")
    """Folder of this run: curves, checkpoints, and in the end model.safetensors."""
    training: TrainingOptions
    """How to train."""
    type: Literal["vab", "vab-refiner"] = "vab"
    """Which model to train: a VAB, or the coarse-to-fine stage that completes a VAB's codes."""
    model: VABConfig = field(default_factory=VABConfig)
    """Its size."""
    refiner: Path | None = None
    """Weights of a coarse-to-fine stage that is to complete this VAB's codes; its name goes into the VAB's weights."""
    objective: MaskedPredictionOptions = field(default_factory=MaskedPredictionOptions)
    """What is masked."""
    data: DataOptions = field(default_factory=DataOptions)
    """Clips and augmentation."""
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    """Written into the weights as their recommended way of generating."""
    codec_weights: str | None = None
    """Weights of the store's codec, where not its own default; 'random' to try things out."""
    resume: bool = False
    """Go on with the run in --out."""
    device: str = "auto"
    """auto, cpu or cuda."""
