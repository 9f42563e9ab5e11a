"""Options of ``vab finetune`` and ``vab classify``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import positional, short
from vab.config import check_ranges
from vab.objectives.options import ClassificationOptions
from vab.training.options import TrainingOptions


@dataclass(frozen=True)
class DataOptions:
    """Which clips, and what is done to them (paper appendix B.3 and table 8)."""

    folds: list[str] = field(default_factory=list)
    """Splits that take turns as the test set while the others are learnt from, such as fold1 to fold5 of ESC-50."""
    train_splits: list[str] = field(default_factory=lambda: ["train"])
    """Without folds: clips to learn from."""
    test_splits: list[str] = field(default_factory=lambda: ["test"])
    """Without folds: clips to measure on; in a store whose clips have no splits one in twenty of them."""
    class_list: Path | None = None
    """Classes and their order: AudioSet's class_labels_indices.csv, or a file with a class a line. By default the
    labels of the training clips, sorted."""
    multilabel: bool = False
    """Whether a clip may have any number of classes rather than exactly one."""
    mixup_prob: float = 0.5
    """How often a clip is the start of one and the end of another, its labels mixed alike (temporal mixup)."""
    roll_prob: float = 0.1
    """How often a clip is rolled in time."""
    class_balanced: bool = False
    """Whether clips of rare classes are drawn more often."""

    def __post_init__(self) -> None:
        check_ranges(self, mixup_prob=(0, 1), roll_prob=(0, 1))
        if len(self.folds) == 1:
            raise ValueError("data.folds needs at least two splits; for one use data.test_splits")


@dataclass(frozen=True)
class ScheduleOptions:
    """How long and how fast to learn; the rest of table 8 (AdamW's averages and decay) is as in pretraining."""

    epochs: int
    """Passes over the training clips."""
    batch_size: int = 60
    """Clips a batch."""
    accumulate: int = 1
    """Batches whose gradients are summed into one step."""
    learning_rate: float = 1e-4
    """At the start, or after the warm-up; half a cosine takes it to zero."""
    warmup_steps: int = 0
    """Steps of linear rise."""
    precision: Literal["32", "bf16"] = "bf16"
    """Arithmetic of the forward pass."""
    seed: int = 0
    """Of initialisation, data order and augmentation."""
    log_every: int = 10
    """Steps between two rows of the loss curve."""
    checkpoint_every: int = 500
    """Steps between two checkpoints; a killed run resumes at the last."""

    def __post_init__(self) -> None:
        check_ranges(self, epochs=(1, 10**6), batch_size=(1, 2**14), accumulate=(1, 10**4))
        self.for_clips(1)  # the rest has the ranges of any training

    def for_clips(self, num_clips: int) -> TrainingOptions:
        """The same in optimiser steps."""
        clips_a_step = self.batch_size * self.accumulate
        return TrainingOptions(
            max_steps=math.ceil(self.epochs * num_clips / clips_a_step),
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            learning_rate=self.learning_rate,
            warmup_steps=self.warmup_steps,
            precision=self.precision,
            seed=self.seed,
            log_every=self.log_every,
            checkpoint_every=self.checkpoint_every,
            validate_every=math.ceil(num_clips / clips_a_step),
        )


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """Turn a pretrained VAB into a classifier and measure it (paper section 3.5, tables 4 to 6 and 8).

    Start from a file in configs/classification/; anything in it can be overridden: --training.epochs 10. With folds,
    all are done, one after the other. The test clips are measured after every epoch; nothing is chosen by that.
    """

    store: Path
    """Feature store that 'vab extract' wrote, its clips labelled."""
    out: Path = short("o")
    """Folder of this run: scores, predictions, and model.safetensors (of each fold in its own folder)."""
    init: str = "demo"
    """What to start from: 'demo', a name that 'vab info' lists, or the .safetensors of a VAB, pretrained only or
    adapted for retrieval."""
    modality: Literal["audio", "visual", "both"] = "both"
    """What the classifier is given; both are one joint sequence."""
    training: ScheduleOptions
    """How to train."""
    masked_epochs: int = 0
    """Before that, passes of masked prediction over the sound of the training clips alone; needs a whole VAB to start
    from."""
    data: DataOptions = field(default_factory=DataOptions)
    """Clips, classes and augmentation."""
    objective: ClassificationOptions = field(default_factory=ClassificationOptions)
    """The loss."""
    scratch: bool = False
    """Take only the sizes from --init and start from random weights: what pretraining is worth (appendix C.1)."""
    freeze: bool = False
    """Leave the network as it is and fit a linear probe on its features (table 6)."""
    baseline: Literal["forest", "cnn"] | None = None
    """Instead of a VAB, on the same clips: a random forest on MFCC statistics, or a small CNN on log-mel spectrograms;
    both read the sound files."""
    through_codec: bool = False
    """The baseline reads the sound that the store's codes decode to instead: what the codec costs."""
    fold: int | None = None
    """Do only this one of the folds, from 1; with --resume, the others can follow one by one in the same --out."""
    resume: bool = False
    """Resume the run in --out; folds that are done stay as they are."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(self, masked_epochs=(0, 10**6))
        if self.fold is not None and not 1 <= self.fold <= len(self.data.folds):
            raise ValueError(
                f"--fold must be 1 to the number of data.folds, {len(self.data.folds)}, not {self.fold}"
            )
        if self.baseline and (self.freeze or self.scratch or self.masked_epochs):
            raise ValueError("--baseline has no VAB that --freeze, --scratch or --masked-epochs could change")
        if self.through_codec and not self.baseline:
            raise ValueError("--through-codec is of --baseline; a VAB reads codes as it is")
        if self.baseline and self.data.multilabel:
            raise ValueError("--baseline is for clips of one class; leave out --data.multilabel")


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions:
    """Say what is heard and seen in clips, with probabilities: for each file, or over time with --every."""

    inputs: list[str] = positional()
    """Videos or sound files, folders of videos, or glob patterns."""
    weights: str = "demo-classes"
    """A name that 'vab info' lists, or a classifier that 'vab finetune' wrote."""
    top: int = 5
    """Classes to name."""
    every: float | None = None
    """Classify around every so many seconds as well, and draw a timeline."""
    window: float | None = None
    """Seconds that are looked at around each such point; by default as many as the classifier was trained on."""
    output: Path = short("o", default=Path("out"))
    """Folder for the timelines of --every."""
    json: bool = False
    """Print one JSON document instead of tables."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        if self.top < 1 or any(value is not None and value <= 0 for value in (self.every, self.window)):
            raise ValueError("--top, --every and --window must be positive")
        if self.window is not None and self.every is None:
            raise ValueError("--window is for --every; give both")
