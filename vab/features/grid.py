"""Times at which a step of every stream begins: where clips may be cut, mixed and rolled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm

LONGEST_PERIOD = Fraction(1)
"""Seconds; an exact grid coarser than this (and than the slowest stream's step) would leave too few places to cut."""


def as_fraction(rate: float) -> Fraction:
    """A rate as the fraction that was meant: 29.97 is 2997/100, 0.1 is 1/10, 53.333333333333336 is 160/3."""
    return Fraction(str(rate)).limit_denominator(1_000_000)


@dataclass(frozen=True)
class TimeGrid:
    """Multiples of ``period`` seconds, each the start of a step of every stream.

    At 50 codec steps and 8 frames a second the period is 0.5 s (25 steps, 4 frames); one stream alone has its own step
    as period. Where streams share no period of at most one second (86.13 steps and 8 frames a second), the fastest are
    left out of the choice and their steps are rounded: they are then off by at most half a step.
    """

    period: Fraction
    """Seconds between two points."""
    rates: Mapping[str, Fraction]
    """Steps a second of each stream."""

    @classmethod
    def of(cls, rates: Mapping[str, float]) -> TimeGrid:
        """The grid of streams with these steps a second."""
        exact = {name: as_fraction(rate) for name, rate in rates.items()}
        slowest_first = sorted(exact.values())
        longest = max(LONGEST_PERIOD, 1 / slowest_first[0])
        periods = (_common_period(slowest_first[:count]) for count in range(len(exact), 0, -1))
        return cls(next(period for period in periods if period <= longest), exact)

    def step(self, stream: str, point: int) -> int:
        """Step of a stream that begins at a point; ``step(-point) == -step(point)``, so a shift can be undone."""
        numerator, denominator = self._steps_a_period[stream]
        nearest = (2 * abs(point) * numerator + denominator) // (2 * denominator)
        return nearest if point >= 0 else -nearest

    def num_within(self, lengths: Mapping[str, int]) -> int:
        """How many whole periods fit into all lengths in steps; 0 = the clip lacks that stream, which sets no limit."""
        limits = []
        for stream, length in lengths.items():
            if length:
                numerator, denominator = self._steps_a_period[stream]
                count = length * denominator // numerator
                limits.append(count + 1 if self.step(stream, count + 1) <= length else count)
        return min(limits, default=0)

    def points_in(self, seconds: float) -> int:
        """How many periods make ``seconds``, rounded up for one stream, exactly for several.

        Raises:
            ValueError: of several streams, ``seconds`` is not a positive multiple of the period.
        """
        count = as_fraction(seconds) / self.period
        if count <= 0 or (count.denominator != 1 and len(self.rates) > 1):
            rates = " and ".join(f"{name} ({float(rate):g} a second)" for name, rate in self.rates.items())
            raise ValueError(
                f"{seconds} s is not a positive multiple of {float(self.period):g} s, the times at which steps of "
                f"{rates} begin together"
            )
        return -int(-count // 1)

    @cached_property
    def _steps_a_period(self) -> dict[str, tuple[int, int]]:
        """As numerator and denominator; plain integers, as training asks often."""
        return {name: (self.period * rate).as_integer_ratio() for name, rate in self.rates.items()}


def _common_period(rates: list[Fraction]) -> Fraction:
    """Streams beat together every 1 / gcd seconds, the gcd of fractions over their common denominator."""
    denominator = lcm(*(rate.denominator for rate in rates))
    return Fraction(denominator, gcd(*(int(rate * denominator) for rate in rates)))
