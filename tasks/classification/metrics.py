"""Scores of a classifier from probabilities and targets: pure functions on arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score


@dataclass(frozen=True)
class ClassScore:
    """How one class is recognised among all clips; None where it cannot be measured."""

    name: str
    num_positives: int
    """Clips that have it."""
    average_precision: float | None
    auc: float | None
    recall: float | None
    """Share of its clips whose likeliest class it is; only where clips have one class."""


@dataclass(frozen=True)
class Scores:
    """All of them in [0, 1] but ``d_prime``; means over classes are over those that can be measured."""

    num_clips: int
    accuracy: float | None
    """Share of clips whose likeliest class is theirs; None where clips have several."""
    mean_average_precision: float
    auc: float
    """Area under the ROC curve, mean over classes."""
    d_prime: float
    """sqrt(2) times the normal quantile of ``auc`` (Gemmeke et al., 2017); infinite at an AUC of 1."""
    without_positives: tuple[str, ...]
    """Classes that no clip has: not measured, and not in any mean."""
    classes: tuple[ClassScore, ...]


def score(
    probabilities: np.ndarray, targets: np.ndarray, names: tuple[str, ...], *, is_multilabel: bool
) -> Scores:
    """Compare probabilities, float [clips, classes], with the truth, bool [clips, classes].

    Raises:
        ValueError: nothing to measure, or probabilities that are not finite.
    """
    if not targets.any() or probabilities.shape != targets.shape:
        raise ValueError(f"nothing to measure: {targets.sum()} positives in {targets.shape}")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities that are not finite; the training has diverged")
    is_right = probabilities.argmax(axis=1) == targets.argmax(axis=1)
    classes = []
    for number, name in enumerate(names):
        truth, guess = targets[:, number], probabilities[:, number]
        num_positives = int(truth.sum())
        can_rank = 0 < num_positives < len(truth)
        classes.append(
            ClassScore(
                name,
                num_positives,
                float(average_precision_score(truth, guess)) if num_positives else None,
                float(roc_auc_score(truth, guess)) if can_rank else None,
                float(is_right[truth].mean()) if num_positives and not is_multilabel else None,
            )
        )
    auc = _mean([one.auc for one in classes])
    return Scores(
        num_clips=len(targets),
        accuracy=None if is_multilabel else float(is_right.mean()),
        mean_average_precision=_mean([one.average_precision for one in classes]),
        auc=auc,
        d_prime=math.sqrt(2) * float(norm.ppf(auc)),
        without_positives=tuple(one.name for one in classes if not one.num_positives),
        classes=tuple(classes),
    )


def confusions(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How many clips of each class (rows) were taken for each class (columns): int [classes, classes]."""
    truth, guess = targets.argmax(axis=1), probabilities.argmax(axis=1)
    return confusion_matrix(truth, guess, labels=np.arange(targets.shape[1]))


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan
