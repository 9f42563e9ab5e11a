"""Drawing in a source's own units: x to the right, y up from its foot, 1 its height."""

from collections.abc import Iterable

import numpy as np
from PIL import ImageDraw

Rgb = tuple[int, int, int]
Colour = tuple[int, ...]
Point = tuple[float, float]

INK: Rgb = (38, 34, 40)


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """``first`` with ``share`` in [0, 1] of ``second``."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def faded(colour: Rgb, opacity: float) -> Colour:
    """``colour`` at ``opacity`` in [0, 1]."""
    return (*colour, int(np.clip(255 * opacity, 0, 255)))


def darker(colour: Rgb, share: float = 0.35) -> Rgb:
    """``colour`` mixed with black."""
    return mix(colour, (0, 0, 0), share)


def lighter(colour: Rgb, share: float = 0.45) -> Rgb:
    """``colour`` mixed with white."""
    return mix(colour, (255, 255, 255), share)


class Pen:
    """A Pillow drawing seen from a source: ``origin`` pixels of its foot, ``unit`` pixels of its height."""

    def __init__(self, draw: ImageDraw.ImageDraw, origin: Point, unit: float) -> None:
        self._draw, self._origin, self._unit = draw, origin, unit

    def _at(self, x: float, y: float) -> Point:
        return self._origin[0] + x * self._unit, self._origin[1] - y * self._unit

    def _box(self, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        px, py = self._at(x, y)
        wide, high = max(rx * self._unit, 0.5), max(ry * self._unit, 0.5)
        return px - wide, py - high, px + wide, py + high

    def _thick(self, width: float) -> int:
        return max(1, round(width * self._unit))

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 0.012,
    ) -> None:
        """An ellipse around (x, y)."""
        self._draw.ellipse(self._box(x, y, rx, ry), fill, outline, self._thick(width))

    def pie(
        self, x: float, y: float, radius: float, start: float, stop: float, fill: Colour, squeeze: float = 1.0
    ) -> None:
        """A wedge from angle ``start`` to ``stop`` in degrees, clockwise from the right."""
        self._draw.pieslice(self._box(x, y, radius, radius * squeeze), start, stop, fill)

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, stop: float, fill: Colour, width: float
    ) -> None:
        """Part of an ellipse's edge, degrees as in :meth:`pie`."""
        self._draw.arc(self._box(x, y, rx, ry), start, stop, fill, self._thick(width))

    def rectangle(
        self,
        left: float,
        bottom: float,
        right: float,
        top: float,
        fill: Colour | None,
        outline: Colour | None = None,
        width: float = 0.012,
        corner: float = 0.0,
    ) -> None:
        """A rectangle, its corners rounded by ``corner``."""
        x0, y0 = self._at(left, top)
        x1, y1 = self._at(right, bottom)
        box = (x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))
        if corner:
            self._draw.rounded_rectangle(box, corner * self._unit, fill, outline, self._thick(width))
        else:
            self._draw.rectangle(box, fill, outline, self._thick(width))

    def polygon(self, points: Iterable[Point], fill: Colour, outline: Colour | None = None) -> None:
        """A filled polygon."""
        self._draw.polygon([self._at(x, y) for x, y in points], fill, outline, self._thick(0.012))

    def line(self, points: Iterable[Point], fill: Colour, width: float = 0.02) -> None:
        """A line through ``points``."""
        self._draw.line([self._at(x, y) for x, y in points], fill, self._thick(width), joint="curve")

    def ring(self, x: float, y: float, age: float, reach: float, colour: Rgb, squeeze: float = 0.35) -> None:
        """The trace of an impact: a ring whose width and opacity tell its ``age`` in [0, 1)."""
        radius = reach * (0.18 + 0.82 * age**0.7)
        thickness = 0.075 * (1.0 - age) + 0.012
        # A dark rim keeps a pale ring visible on a pale floor.
        rim = radius + 0.018
        self.ellipse(x, y, rim, rim * squeeze, outline=faded(INK, 0.7 * (1.0 - age)), width=thickness + 0.03)
        self.ellipse(x, y, radius, radius * squeeze, outline=faded(colour, 1.0 - 0.75 * age), width=thickness)

    def rays(
        self, x: float, y: float, age: float, reach: float, colour: Rgb, upward: bool = True, count: int = 9
    ) -> None:
        """Sparks flying off an impact: their distance and colour tell its ``age`` in [0, 1)."""
        spread = np.linspace(8, 172, count) if upward else np.arange(count) * 360 / count
        inner, outer = reach * (0.1 + 0.9 * age), reach * (0.38 + 0.92 * age - 0.25 * age * age)
        for order, degrees in enumerate(spread):
            # Alternating lengths look like sparks; a regular fan looks like a sun.
            stretch = 1.0 if order % 2 else 0.72
            dx, dy = np.cos(np.radians(degrees)) * stretch, np.sin(np.radians(degrees)) * stretch
            self.line(
                [(x + dx * inner, y + dy * inner), (x + dx * outer, y + dy * outer)],
                faded(mix((255, 255, 235), colour, age), 1.0 - 0.6 * age),
                0.035 * (1.0 - 0.7 * age),
            )

    def shadow(self, x: float, radius: float, height: float = 0.0) -> None:
        """The shadow on the floor of something ``height`` above it: smaller and fainter when higher."""
        shrink = 1.0 - 0.5 * min(height, 1.0)
        self.ellipse(x, 0.0, radius * shrink, 0.24 * radius * shrink, faded((0, 0, 0), 0.42 * shrink))
