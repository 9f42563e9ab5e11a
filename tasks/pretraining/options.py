"""Options of ``vab pretrain``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.options import short
from tasks.training_clips import ClipOptions
from vab.config import check_ranges
from vab.training.options import TrainingOptions


@dataclass(frozen=True)
class DataOptions(ClipOptions):
    """Which clips, and what is done to them (paper appendix B.3)."""

    clips: Path | None = None
    """A list of clips, such as 'vab curate' writes: of the clips to learn from only those in it are."""
    required_streams: list[str] | None = None
    """Streams that a clip must have, such as 'codes', so that recordings without frames are learnt from too; by default
    all that the model reads."""
    num_logged_clips: int = 2
    """Validation clips whose true and generated sound is logged."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, num_logged_clips=(0, 1000))


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """Train a model on extracted features: a VAB (paper section 3.2), its refiner (3.3), or any other model.

    Start from a file in configs/; anything in it can be overridden: --training.max_steps 100. Which names 'model',
    'objective' and 'sampling' have is the model's business; a wrong one is refused with the list of those that there
    are.
    """

    store: list[Path]
    """Feature stores that 'vab extract' wrote; several are trained on as one, such as AudioSet and VGGSound."""
    out: Path = short("o")
    """Folder of this run: curves, checkpoints, and in the end model.safetensors."""
    training: TrainingOptions
    """How to train."""
    type: str = "vab"
    """Which model to train: vab, vab-refiner (the coarse-to-fine stage that completes a VAB's codes), or the name of a
    model that another package brings."""
    model: dict[str, Any] = field(default_factory=dict)
    """The model's sizes: --model.num_layers 8."""
    objective: dict[str, Any] = field(default_factory=dict)
    """What it is trained for: --objective.condition_drop_prob 0.2."""
    sampling: dict[str, Any] = field(default_factory=dict)
    """Sampling options, written into the weights as recommended: --sampling.num_steps 16."""
    data: DataOptions = field(default_factory=DataOptions)
    """Clips and augmentation."""
    init: list[str] = field(default_factory=list)
    """Weights to begin with, names or files: of the same type, or of a part, such as a tiva-predictor's for a tiva."""
    refiner: Path | None = None
    """Weights of a refiner that is to complete this model's codes; its name goes into this model's weights."""
    codec_weights: str | None = None
    """Weights of the store's codec, also for the latents before its quantiser, where not its own default; 'random' to
    try things out."""
    resume: bool = False
    """Go on with the run in --out."""
    device: str = "auto"
    """auto, cpu or cuda."""
