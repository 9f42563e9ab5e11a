"""How a clip of any length is cut into windows that overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vab.features.grid import TimeGrid, as_fraction
from vab.timing import steps_begun


@runtime_checkable
class Rates(Protocol):
    """The two rates of a model's configuration."""

    @property
    def frame_rate(self) -> float:
        """Codec steps a second."""
        ...

    @property
    def visual_fps(self) -> float:
        """Visual frames a second."""
        ...


@dataclass(frozen=True)
class Windows:
    """How a long clip is cut: windows of one size that begin where a codec step and a frame begin together."""

    num_steps: int
    num_frames: int
    hop: int
    """Points of ``grid`` from one window to the next."""
    grid: TimeGrid

    @classmethod
    def of(cls, config: Rates, window_seconds: float, overlap_seconds: float) -> Windows:
        """Windows of a length in seconds; the overlap is at least what is asked for.

        A last step that begins inside the window belongs to it, as in training: 10 s of 44.1 kHz sound are 862 steps
        of 512 samples.

        Raises:
            ValueError: the overlap leaves nothing to move by.
        """
        grid = TimeGrid.of({"codes": config.frame_rate, "clip": config.visual_fps})
        hop = int(as_fraction(window_seconds - overlap_seconds) / grid.period)
        if hop < 1:
            raise ValueError(
                f"windows of {window_seconds} s that overlap by {overlap_seconds} s leave nothing to move by; "
                f"they can move by multiples of {float(grid.period):g} s"
            )
        num_steps = steps_begun(window_seconds, config.frame_rate)
        return cls(num_steps, max(1, round(window_seconds * config.visual_fps)), hop, grid)

    def first_step(self, index: int) -> int:
        """Codec step at which a window begins."""
        return self.grid.step("codes", index * self.hop)

    def first_frame(self, index: int) -> int:
        """Visual frame at which a window begins."""
        return self.grid.step("clip", index * self.hop)

    def count(self, num_steps: int) -> int:
        """Windows that cover a clip."""
        count = 1
        while self.first_step(count - 1) + self.num_steps < num_steps:
            count += 1
        return count

    def num_covered(self, num_steps: int) -> int:
        """Steps of all windows that cover a clip, at least its own."""
        return self.first_step(self.count(num_steps) - 1) + self.num_steps
