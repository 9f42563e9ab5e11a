"""What stands behind the sources: six kinds of place, each painted once per clip from its own seed."""

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import zoom

from tasks.demo.world.pen import INK, Pen, Rgb, darker, lighter
from tasks.demo.world.scene import FRAME_SIZE, Distractor

SUPERSAMPLE = 2
CANVAS_SIZE = FRAME_SIZE * SUPERSAMPLE
# The painted place is larger than the frame, so that the camera has somewhere to drift.
MAX_DRIFT = 0.05
MARGIN = round(CANVAS_SIZE * MAX_DRIFT)
PLACE_SIZE = CANVAS_SIZE + 2 * MARGIN

PLACES: dict[str, tuple[str, ...]] = {
    "room": ("in a room", "indoors", "in front of a wall"),
    "workshop": ("in a workshop", "in front of brick walls"),
    "street": ("on a street", "outdoors in a town"),
    "field": ("on a meadow", "in a field", "outdoors on grass"),
    "night": ("at night", "in the dark", "under a night sky"),
    "studio": ("in a studio", "before a plain background"),
}

_WALLS: dict[str, tuple[Rgb, ...]] = {
    "room": ((214, 196, 170), (170, 196, 206), (206, 186, 206), (190, 206, 176)),
    "workshop": ((150, 96, 76), (128, 112, 100), (110, 104, 112)),
    "street": ((170, 196, 222), (196, 204, 212), (214, 190, 176)),
    "field": ((140, 190, 236), (176, 206, 232), (230, 196, 170)),
    "night": ((26, 30, 58), (40, 30, 56), (24, 44, 56)),
    "studio": ((190, 190, 196), (120, 150, 160), (222, 210, 180), (150, 130, 160)),
}
_FLOORS: dict[str, tuple[Rgb, ...]] = {
    "room": ((156, 110, 72), (120, 92, 80), (176, 150, 120)),
    "workshop": ((118, 116, 114), (140, 126, 110)),
    "street": ((110, 110, 116), (136, 130, 126)),
    "field": ((96, 150, 70), (130, 156, 80), (150, 140, 84)),
    "night": ((40, 44, 56), (52, 44, 48)),
    "studio": ((168, 168, 172), (100, 120, 126), (190, 180, 156)),
}


def paint_place(kind: str, seed: int) -> Image.Image:
    """The place as an RGB image of side ``PLACE_SIZE``."""
    generator = np.random.default_rng(seed)
    wall = _jittered(generator, _WALLS[kind])
    floor = _jittered(generator, _FLOORS[kind])
    horizon = generator.uniform(0.62, 0.78)
    rows = np.linspace(0, 1, PLACE_SIZE)[:, None, None]
    slope = generator.uniform(-0.25, 0.25)
    above = np.array(wall) * (1 + slope * (rows - horizon))
    below = np.array(floor) * (0.85 + 0.35 * (rows - horizon) / (1 - horizon))
    pixels = np.where(rows < horizon, above, below) * np.ones((1, PLACE_SIZE, 1))
    # Two scales of blotches: no two pixels of a wall are alike.
    for cells, strength in ((6, 9.0), (32, 5.0)):
        blotches = generator.standard_normal((cells, cells))
        pixels += strength * zoom(blotches, PLACE_SIZE / cells, order=1)[:PLACE_SIZE, :PLACE_SIZE, None]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    _furnish(ImageDraw.Draw(image, "RGBA"), kind, generator, horizon * PLACE_SIZE, wall, floor)
    return image


def _jittered(generator: np.random.Generator, colours: tuple[Rgb, ...]) -> Rgb:
    base = np.array(colours[int(generator.integers(len(colours)))], float)
    red, green, blue = np.clip(base * generator.uniform(0.86, 1.12) + generator.normal(0, 9, 3), 8, 247)
    return int(red), int(green), int(blue)


def _furnish(
    draw: ImageDraw.ImageDraw,
    kind: str,
    generator: np.random.Generator,
    horizon: float,
    wall: Rgb,
    floor: Rgb,
) -> None:
    size = PLACE_SIZE
    mortar = (*darker(wall, 0.18), 150)
    if kind == "workshop":
        step = size / generator.uniform(10, 16)
        for row in range(int(horizon / step) + 1):
            y = horizon - row * step
            draw.line([(0, y), (size, y)], mortar, 2)
            for brick in np.arange((row % 2) * step, size, 2 * step):
                draw.line([(brick, y), (brick, y - step)], mortar, 2)
    elif kind == "room":
        step = size / generator.uniform(6, 14)
        if generator.random() < 0.6:
            for x in np.arange(generator.uniform(0, step), size, step):
                draw.rectangle([x, 0, x + step / 2, horizon], (*lighter(wall, 0.25), 110))
        x, y = generator.uniform(0.05, 0.7) * size, generator.uniform(0.05, 0.2) * size
        frame = (*_jittered(generator, _WALLS["studio"]), 255)
        draw.rectangle([x, y, x + 0.22 * size, y + 0.18 * size], frame, (*darker(wall, 0.5), 255), 4)
    elif kind == "street":
        for x in np.arange(-0.05 * size, size, size * 0.24):
            top = generator.uniform(0.08, 0.42) * size
            front = _jittered(generator, _WALLS["workshop"])
            draw.rectangle([x, top, x + 0.22 * size, horizon], (*lighter(front, 0.3), 255))
            for window in range(6):
                wx, wy = x + (0.03 + 0.1 * (window % 2)) * size, top + (0.04 + 0.1 * (window // 2)) * size
                if wy + 0.06 * size < horizon:
                    draw.rectangle([wx, wy, wx + 0.06 * size, wy + 0.06 * size], (*darker(front, 0.4), 255))
    elif kind == "field":
        for _ in range(3):
            x, wide = generator.uniform(0, size), generator.uniform(0.2, 0.5) * size
            high = generator.uniform(0.05, 0.16) * size
            draw.ellipse([x - wide, horizon - high, x + wide, horizon + high], (*darker(floor, 0.2), 255))
            draw.rectangle([x - wide, horizon, x + wide, horizon + high], (*floor, 255))
            cx, cy = generator.uniform(0, size), generator.uniform(0.03, 0.3) * size
            draw.ellipse([cx - 46, cy - 14, cx + 46, cy + 14], (255, 255, 255, 130))
    elif kind == "night":
        for x, y in generator.uniform(0, 1, (40, 2)):
            radius = 1 + 2 * ((x * 97) % 1)
            draw.ellipse(
                [x * size, y * horizon, x * size + radius, y * horizon + radius], (255, 250, 220, 190)
            )
        x = generator.uniform(0.1, 0.9) * size
        draw.ellipse([x, 0.06 * size, x + 0.1 * size, 0.16 * size], (240, 236, 200, 255))
    boards = generator.integers(0, 5)
    for board in range(int(boards)):
        y = horizon + (size - horizon) * ((board + 1) / (boards + 1)) ** 1.5
        draw.line([(0, y), (size, y)], (*darker(floor, 0.25), 120), 2)
    draw.line([(0, horizon), (size, horizon)], (*darker(floor, 0.4), 200), 3)


def draw_distractor(pen: Pen, thing: Distractor) -> None:
    """A silent thing, in units of its own height."""
    fill, edge = thing.rgb, darker(thing.rgb)
    if thing.shape == "box":
        pen.shadow(0.0, 0.5)
        pen.rectangle(-0.4, 0.0, 0.4, 0.7, fill, edge, 0.04)
        pen.line([(-0.4, 0.45), (0.4, 0.45)], edge, 0.05)
    elif thing.shape == "plant":
        pen.polygon([(-0.2, 0.35), (0.2, 0.35), (0.14, 0.0), (-0.14, 0.0)], fill, edge)
        for lean in (-0.34, -0.16, 0.0, 0.18, 0.36):
            pen.line([(0.0, 0.35), (lean, 0.95 - abs(lean))], (60, 130, 60), 0.09)
    elif thing.shape == "ball":
        pen.shadow(0.0, 0.35)
        pen.ellipse(0.0, 0.3, 0.3, 0.3, fill, edge, 0.03)
    elif thing.shape == "balloon":
        pen.line([(0.0, 0.0), (0.03, 0.35)], INK, 0.02)
        pen.ellipse(0.0, 0.65, 0.26, 0.32, fill, edge, 0.02)
    elif thing.shape == "bird":
        pen.arc(-0.2, 0.5, 0.22, 0.16, 190, 350, INK, 0.05)
        pen.arc(0.2, 0.5, 0.22, 0.16, 190, 350, INK, 0.05)
    else:
        pen.polygon([(-0.4, 0.0), (0.4, 0.0), (0.0, 0.8)], fill, edge)


SHAPES = ("box", "plant", "ball", "balloon", "bird", "cone")
