"""Options of ``vab adapt``, ``vab embed``, ``vab index``, ``vab search`` and ``vab serve``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import positional, short
from vab.models.vab.options import ContrastiveOptions
from vab.retrieval.options import IndexKind
from vab.training.options import TrainingOptions


@dataclass(frozen=True)
class AdaptDataOptions:
    """Which clips, and what is done to them (paper appendix B.3)."""

    train_split: str = "train"
    """Clips to learn from."""
    validation_split: str = "validation"
    """Clips to measure on."""
    num_validation_clips: int = 512
    """The first so many of that split."""
    crop_seconds: float | None = None
    """Length of a random piece of each clip; all of it by default. Files are searched in windows of this length."""
    mixup_prob: float = 0.5
    """How often a clip is the start of one and the end of another (temporal mixup)."""
    roll_prob: float = 0.1
    """How often a clip is rolled in time."""


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """Bring sound and pictures of a clip together, for search: the first N1 layers of a VAB (paper section 3.4).

    Start from a file in configs/retrieval/; anything in it can be overridden: --training.max_steps 100.
    """

    store: list[Path]
    """Feature stores that 'vab extract' wrote; several are trained on as one."""
    out: Path = short("o")
    """Folder of this run: curves, checkpoints, and in the end encoder.safetensors."""
    training: TrainingOptions
    """How to train."""
    weights: str = "demo"
    """'demo', a name that 'vab info' lists, or a model's .safetensors file: what to start from."""
    init: Literal["pretrained", "scratch"] = "pretrained"
    """Start from these weights, or from random ones of their size, to compare (appendix C.3)."""
    objective: ContrastiveOptions = field(default_factory=ContrastiveOptions)
    """The contrastive loss."""
    data: AdaptDataOptions = field(default_factory=AdaptDataOptions)
    """Clips and augmentation."""
    resume: bool = False
    """Go on with the run in --out."""
    device: str = "auto"
    """auto, cpu or cuda."""
