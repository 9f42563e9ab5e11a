"""What people answered in a listening test: mean opinion scores and preferences, with how sure they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import binomtest, t

STRONGEST_PREFERENCE = 2
"""Answers to A or B run from -2, strongly the first, over 0, no preference, to 2, strongly the second."""


@dataclass(frozen=True)
class MeanOpinion:
    """Ratings of one system on a scale of 1 to 5."""

    mean: float
    deviation: float
    """Sample standard deviation; NaN for one rating."""
    interval: float
    """Half width of the 95 % interval of the mean by Student's t, ratings taken as independent; NaN for one rating."""
    num_ratings: int


@dataclass(frozen=True)
class Preference:
    """Answers to one pair of systems."""

    counts: tuple[int, ...]
    """Strongly the first, weakly the first, none, weakly the second, strongly the second."""
    p_value: float
    """Two-sided sign test that neither is preferred, answers without a preference left out; 1 where none is left."""

    @property
    def num_answers(self) -> int:
        """All of them."""
        return sum(self.counts)

    @property
    def share_of_first(self) -> float:
        """Share of the answers that prefer the first."""
        return (self.counts[0] + self.counts[1]) / self.num_answers

    @property
    def share_of_second(self) -> float:
        """Share of the answers that prefer the second."""
        return (self.counts[3] + self.counts[4]) / self.num_answers


def mean_opinion(ratings: Sequence[int]) -> MeanOpinion:
    """Mean, deviation and 95 % interval.

    Raises:
        ValueError: no rating, or one that is not 1 to 5.
    """
    if not ratings or not all(1 <= rating <= 5 for rating in ratings):
        raise ValueError(f"ratings must be 1 to 5 and at least one, not {sorted(set(ratings))}")
    count = len(ratings)
    deviation = stdev(ratings) if count > 1 else math.nan
    half_width = float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return MeanOpinion(fmean(ratings), deviation, half_width, count)


def preference(answers: Sequence[int]) -> Preference:
    """Counts of the five answers and a sign test.

    Raises:
        ValueError: no answer, or one that is not -2 to 2.
    """
    if not answers or not all(abs(answer) <= STRONGEST_PREFERENCE for answer in answers):
        raise ValueError(f"answers must be -2 to 2 and at least one, not {sorted(set(answers))}")
    counts = tuple(map(answers.count, range(-STRONGEST_PREFERENCE, STRONGEST_PREFERENCE + 1)))
    first, second = sum(counts[:STRONGEST_PREFERENCE]), sum(counts[STRONGEST_PREFERENCE + 1 :])
    p_value = float(binomtest(first, first + second).pvalue) if first + second else 1.0
    return Preference(counts, p_value)
