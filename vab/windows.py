"""How clips are cut in time: windows of one length that begin where a codec step and a visual frame begin together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from vab.features.grid import TimeGrid, as_fraction
from vab.timing import num_frames, steps_begun

SLACK = 0.1
"""What is left over at a clip's end, up to this share of a window, belongs to the last one rather than to one more."""


@dataclass(frozen=True)
class Window:
    """A stretch of a clip."""

    start: float
    """Seconds into the clip."""
    seconds: float
    steps: slice
    """Of its codes; empty where it has no audio."""
    frames: slice
    """Of its visual features; empty where it has no frames."""


@dataclass(frozen=True)
class Windows:
    """Windows of a length, ``hop`` points of the grid apart."""

    seconds: float
    hop: int
    grid: TimeGrid

    @classmethod
    def of(cls, rates: Mapping[str, float], seconds: float, overlap_seconds: float) -> Windows:
        """Windows of streams at these rates, the codes' among them; the overlap is at least what is asked for.

        Raises:
            ValueError: the overlap leaves nothing to move by.
        """
        grid = TimeGrid.of(rates)
        hop = int(as_fraction(seconds - overlap_seconds) / grid.period)
        if hop < 1:
            raise ValueError(
                f"windows of {seconds} s that overlap by {overlap_seconds} s leave nothing to move by; "
                f"they can move by multiples of {float(grid.period):g} s"
            )
        return cls(seconds, hop, grid)

    @cached_property
    def num_steps(self) -> int:
        """Codec steps of a window.

        A last step that begins inside the window belongs to it, as in training: 10 s of 44.1 kHz audio are 862 steps
        of 512 samples.
        """
        return steps_begun(self.seconds, float(self.grid.rates["codes"]))

    @cached_property
    def num_frames(self) -> int:
        """Visual frames of a window."""
        return self.length("clip")

    @cached_property
    def size(self) -> int:
        """Points of the grid that a window is long, to the nearest."""
        return max(1, round(as_fraction(self.seconds) / self.grid.period))

    @cached_property
    def longest(self) -> int:
        """Points that the last window of ``covering`` may be long."""
        return self.size + 1 + int(SLACK * self.size)

    def length(self, stream: str) -> int:
        """Steps of a window, of any stream but the codes."""
        return num_frames(self.seconds, float(self.grid.rates[stream]))

    def first(self, stream: str, index: int) -> int:
        """Step of a stream at which a window begins."""
        return self.grid.step(stream, index * self.hop)

    def count(self, num_steps: int) -> int:
        """Windows that it takes to reach a clip's end, which the last one may pass."""
        count = 1
        while self.first("codes", count - 1) + self.num_steps < num_steps:
            count += 1
        return count

    def num_covered(self, num_steps: int) -> int:
        """Steps of all of these together, at least the clip's own."""
        return self.first("codes", self.count(num_steps) - 1) + self.num_steps

    def batches(self, lengths: Sequence[int], batch_size: int) -> Iterator[tuple[int, list[int]]]:
        """Each window's number with the clips, of these lengths in steps, that reach it; earlier windows first."""
        counts = [self.count(length) for length in lengths]
        for index in range(max(counts, default=0)):
            active = [clip for clip, count in enumerate(counts) if index < count]
            for start in range(0, len(active), batch_size):
                yield index, active[start : start + batch_size]

    def covering(self, num_steps: int, num_frames: int) -> list[Window]:
        """Windows that cover a clip and stay inside it: the last one is moved back to end where the clip does.

        A length of 0 means that the clip has no audio or no frames.
        """
        total = self.grid.num_within({"codes": num_steps, "clip": num_frames})
        starts = list(range(0, max(total - self.size, 0) + 1, self.hop))
        if total - (starts[-1] + self.size) > SLACK * self.size:
            starts.append(total - self.size)
        stops = [start + self.size for start in starts[:-1]] + [starts[-1] + self.longest]
        return [
            self._window(start, stop, num_steps, num_frames)
            for start, stop in zip(starts, stops, strict=True)
        ]

    def tiled(self, clip_seconds: float) -> list[float]:
        """Starts in seconds of windows side by side that cover a clip; the last is moved back to end with it."""
        return self.centred(clip_seconds, self.seconds)

    def centred(self, clip_seconds: float, every: float) -> list[float]:
        """Starts in seconds of windows inside a clip with centres ``every`` seconds apart, from ``every / 2``."""
        count = max(1, math.ceil(round(clip_seconds / every, 6)))
        last = max(0.0, clip_seconds - self.seconds)
        return [min(max(0.0, (i + 0.5) * every - self.seconds / 2), last) for i in range(count)]

    def point(self, start: float) -> int:
        """The last point of the grid that is not after a time in seconds."""
        return int(start / float(self.grid.period) + 1e-6)

    def _window(self, start: int, stop: int, num_steps: int, num_frames: int) -> Window:
        grid, parts = self.grid, {}
        for name, length in (("codes", num_steps), ("clip", num_frames)):
            parts[name] = slice(*(min(grid.step(name, point), length) for point in (start, stop)))
        seconds = max(float((part.stop - part.start) / grid.rates[name]) for name, part in parts.items())
        return Window(float(start * grid.period), seconds, parts["codes"], parts["clip"])
