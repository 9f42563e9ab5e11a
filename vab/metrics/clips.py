"""Numbers of single clips as torchmetrics: the mean over clips, and onset scores pooled over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchmetrics import Metric

from vab.metrics.onsets import DEFAULT_WINDOW, OnsetScores, onset_scores
from vab.shapes import Float, Tensor


class ClipMean(Metric):
    """Mean over clips of any of this package's functions that give one number a clip."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, function: Callable[..., float]) -> None:
        """Start empty.

        Args:
            function: of one clip.
        """
        super().__init__()
        self.function = function
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add one clip: what ``function`` takes."""
        self.total += self.function(*args, **kwargs)
        self.count += 1

    def compute(self) -> Tensor:
        """The mean; NaN before the first clip, as in torchmetrics."""
        return self.total / self.count


class PooledOnsetScores(Metric):
    """Onset scores over all events of all clips: each event counts the same, not each clip."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    counts: Tensor

    def __init__(self, *, window: float = DEFAULT_WINDOW) -> None:
        """Start empty.

        Args:
            window: seconds within which a detection meets an event; the detector's threshold is its caller's affair.
        """
        super().__init__()
        self.window = window
        self.add_state("counts", torch.zeros(3, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, detected: Float[Tensor, " n"], true: Float[Tensor, " m"]) -> None:
        """Add one clip's times in seconds."""
        scores = onset_scores(detected, true, window=self.window)
        self.counts += torch.tensor([scores.num_detected, scores.num_true, scores.num_matched])

    def compute(self) -> dict[str, float]:
        """``precision``, ``recall`` and ``f1`` from the counts of all clips."""
        scores = OnsetScores(*self.counts.tolist())
        return {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
