"""Long clips in windows of the length a model knows, cut where a codec step and a frame begin together."""

from __future__ import annotations

from dataclasses import dataclass

from vab.features.grid import TimeGrid, as_fraction

SLACK = 0.1
"""What is left over at the end, up to this share of a window, belongs to the last one rather than to one more."""


@dataclass(frozen=True)
class Window:
    """A stretch of a clip."""

    start: float
    """Seconds into the clip."""
    seconds: float
    steps: slice
    """Of its codes; empty where it has no sound."""
    frames: slice
    """Of its visual features; empty where it has no pictures."""


@dataclass(frozen=True)
class WindowCutter:
    """How long windows are and how far apart."""

    grid: TimeGrid
    seconds: float
    hop_seconds: float

    @property
    def size(self) -> int:
        """Points of the grid that a window is long."""
        return max(1, round(as_fraction(self.seconds) / self.grid.period))

    @property
    def hop(self) -> int:
        """Points from one window to the next."""
        return max(1, int(as_fraction(self.hop_seconds) / self.grid.period))

    @property
    def longest(self) -> int:
        """Points that the last window of a clip may be long at most."""
        return self.size + 1 + int(SLACK * self.size)

    def cut(self, num_steps: int, num_frames: int) -> list[Window]:
        """Windows that cover a clip; the last one ends where the clip does.

        Args:
            num_steps: codec steps of the clip; 0 = no sound.
            num_frames: frames of the clip; 0 = no pictures.
        """
        size, hop = self.size, self.hop
        total = self.grid.num_within({"codes": num_steps, "clip": num_frames})
        starts = list(range(0, max(total - size, 0) + 1, hop))
        if total - (starts[-1] + size) > SLACK * size:
            starts.append(total - size)
        return [
            self._window(start, size, num_steps, num_frames, is_last=start == starts[-1]) for start in starts
        ]

    def _window(self, start: int, size: int, num_steps: int, num_frames: int, *, is_last: bool) -> Window:
        stop = start + (self.longest if is_last else size)
        steps = slice(
            min(self.grid.step("codes", start), num_steps), min(self.grid.step("codes", stop), num_steps)
        )
        frames = slice(
            min(self.grid.step("clip", start), num_frames), min(self.grid.step("clip", stop), num_frames)
        )
        seconds = max(
            float((steps.stop - steps.start) / self.grid.rates["codes"]),
            float((frames.stop - frames.start) / self.grid.rates["clip"]),
        )
        return Window(float(start * self.grid.period), seconds, steps, frames)
