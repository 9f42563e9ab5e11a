"""Options of the clips that ``vab pretrain`` and ``vab adapt`` learn from and measure on."""

from __future__ import annotations

from dataclasses import dataclass

from vab.config import check_ranges


@dataclass(frozen=True)
class ClipOptions:
    """Which clips, and what is done to them (paper appendix B.3)."""

    train_splits: str = "train"
    """Clips to learn from: a split of all stores, or splits of each, such as 'vggsound=train
    audioset=unbalanced_train,balanced_train'. Stores without splits are learnt from whole."""
    validation_splits: str = ""
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

    def __post_init__(self) -> None:
        check_ranges(
            self,
            num_validation_clips=(1, 10**6),
            crop_seconds=(0.01, 3600),
            mixup_prob=(0, 1),
            roll_prob=(0, 1),
        )
