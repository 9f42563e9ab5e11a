"""Times at which a codec step and a visual frame begin together: where clips may be cut, mixed and rolled."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd

LONGEST_PERIOD = Fraction(1)
"""Seconds; an exact grid coarser than this (and than a visual frame) would leave too few places to cut."""


def as_fraction(rate: float) -> Fraction:
    """A rate as the fraction that was meant: 29.97 stays 2997/100, 0.1 is 1/10."""
    return Fraction(str(rate))


@dataclass(frozen=True)
class TimeGrid:
    """Multiples of ``period`` seconds, each the start of a visual frame and of a codec step.

    At 50 steps and 8 frames a second the period is 0.5 s (25 steps, 4 frames). Where no common period of
    at most one second exists (86.13 steps a second), the period is one visual frame and steps are rounded:
    sound is then off by at most half a step.
    """

    period: Fraction
    """Seconds between two points."""
    frame_rate: Fraction
    """Codec steps a second."""
    visual_fps: Fraction

    @classmethod
    def of(cls, sample_rate: int, hop_length: int, visual_fps: float) -> TimeGrid:
        """The grid of a codec with ``sample_rate / hop_length`` steps and ``visual_fps`` frames a second."""
        frame_rate, fps = Fraction(sample_rate, hop_length), as_fraction(visual_fps)
        # Both beat together every 1 / gcd seconds, the gcd of fractions over their common denominator.
        denominator = frame_rate.denominator * fps.denominator
        common = gcd(int(frame_rate * denominator), int(fps * denominator))
        period = Fraction(denominator, common)
        if period > max(LONGEST_PERIOD, 1 / fps):
            period = 1 / fps
        return cls(period, frame_rate, fps)

    @cached_property
    def steps_a_period(self) -> tuple[int, int]:
        """Codec steps in a period as numerator and denominator; plain integers, as training asks often."""
        return (self.period * self.frame_rate).as_integer_ratio()

    @cached_property
    def frames_a_period(self) -> int:
        """Visual frames in a period."""
        return int(self.period * self.visual_fps)

    def step(self, point: int) -> int:
        """Codec step that begins at a point; ``step(-point) == -step(point)``, so a shift can be undone."""
        numerator, denominator = self.steps_a_period
        nearest = (2 * abs(point) * numerator + denominator) // (2 * denominator)
        return nearest if point >= 0 else -nearest

    def frame(self, point: int) -> int:
        """Visual frame that begins at a point."""
        return point * self.frames_a_period

    def num_within(self, num_steps: int | None, num_frames: int | None) -> int:
        """How many whole periods fit into both lengths; None = that modality is absent and sets no limit."""
        limits = []
        if num_steps is not None:
            numerator, denominator = self.steps_a_period
            count = num_steps * denominator // numerator
            limits.append(count + 1 if self.step(count + 1) <= num_steps else count)
        if num_frames is not None:
            limits.append(num_frames // self.frames_a_period)
        return min(limits, default=0)

    def points_in(self, seconds: float) -> int:
        """How many periods make exactly ``seconds``.

        Raises:
            ValueError: ``seconds`` is not a positive multiple of the period.
        """
        count = as_fraction(seconds) / self.period
        if count.denominator != 1 or count < 1:
            raise ValueError(
                f"{seconds} s is not a positive multiple of {float(self.period):g} s, the times at which steps "
                f"of {float(self.frame_rate):g} Hz and frames of {float(self.visual_fps):g} a second meet"
            )
        return int(count)
