"""Impacts of what strikes: a hammer, a drumstick, clapping hands."""

import numpy as np

from tasks.demo.world.classes.base import State, foley_class, striker_words
from tasks.demo.world.pen import INK, Pen, Point, Rgb, darker, faded, lighter
from tasks.demo.world.scene import Motion, Source
from tasks.demo.world.synthesis import rattle, strikes, struck_pitches, thud
from tasks.demo.world.timeline import irregular_events, sample_events, striker_track, trace_age

SURFACES: dict[str, Rgb] = {
    "metal": (142, 148, 160),
    "wooden": (168, 116, 70),
    "stone": (125, 120, 118),
    "skin": (236, 222, 196),
    "tin": (190, 196, 205),
    "plastic": (225, 228, 235),
}


def _swing(pivot: Point, length: float, degrees: float) -> Point:
    """Where a stick of ``length`` from ``pivot`` ends, pointing left at 0 and up at 90 degrees."""
    turn = np.radians(degrees)
    return pivot[0] - length * float(np.cos(turn)), pivot[1] + length * float(np.sin(turn))


def _draw_hammer(pen: Pen, source: Source, state: State) -> None:
    block = SURFACES[source.material]
    pen.shadow(-0.12, 0.5)
    pen.rectangle(-0.42, 0.0, 0.14, 0.2, darker(block, 0.25), darker(block, 0.6), corner=0.02)
    pen.rectangle(-0.5, 0.18, 0.22, 0.32, block, darker(block, 0.5), corner=0.02)
    if source.material == "wooden":
        for y in (0.21, 0.25, 0.29):
            pen.line([(-0.48, y), (0.2, y)], darker(block, 0.3), 0.01)
    age = trace_age(state)
    if age is not None:
        spark = {"metal": (255, 160, 40), "wooden": (205, 150, 85)}.get(source.material, (215, 210, 205))
        pen.rays(-0.16, 0.33, age, 0.3 + 0.25 * state["strength"], spark)
        pen.ring(-0.16, 0.33, age, 0.3, spark)
    lift = 62.0 * state["distance"]
    # The head's centre rests on the block when the handle lies level at this pivot.
    pivot, length = (0.5, 0.4), 0.66
    if abs(state["velocity"]) > 1.5:
        for ghost in (3, 2, 1):
            back = lift - 62.0 * state["velocity"] * 0.012 * ghost
            if 0 < back < 75:
                x, y = _swing(pivot, length, back)
                pen.ellipse(x, y, 0.1, 0.12, faded(source.rgb, 0.34 - 0.08 * ghost))
    head = _swing(pivot, length, lift)
    pen.line([pivot, head], (120, 78, 44), 0.055)
    turn = np.radians(lift)
    along, across = (-np.cos(turn), np.sin(turn)), (np.sin(turn), np.cos(turn))
    corners = [(-0.085, -0.09), (0.085, -0.09), (0.085, 0.13), (-0.085, 0.13)]
    points = [
        (head[0] + a * along[0] + b * across[0], head[1] + a * along[1] + b * across[1]) for a, b in corners
    ]
    pen.polygon(points, source.rgb, INK)
    pen.ellipse(pivot[0] - 0.02, pivot[1], 0.085, 0.075, (222, 176, 140), INK)


def _sound_hammer(source: Source, start: int, stop: int) -> np.ndarray:
    # Its steel head rings on, whatever it hits.
    head = 0.25 * thud((2350.0, 3720.0, 5180.0), 0.45)
    return strikes(source, start, stop, struck_pitches(source, 300.0), head)


def _describe_hammer(source: Source, state: State) -> tuple[str, ...]:
    block = {"metal": "metal anvil", "wooden": "wooden block"}.get(source.material, "stone block")
    trace = {"metal": "sparks", "wooden": "splinters"}.get(source.material, "chips")
    return striker_words("hammer", source, state, block=block, trace=trace)


HAMMER = foley_class("hammer", sample_events, striker_track, _sound_hammer, _draw_hammer, _describe_hammer)


def _draw_drum(pen: Pen, source: Source, state: State) -> None:
    head = SURFACES[source.material]
    pen.shadow(0.0, 0.48)
    pen.rectangle(-0.42, 0.06, 0.42, 0.42, source.rgb, darker(source.rgb))
    pen.ellipse(0.0, 0.06, 0.42, 0.09, source.rgb, darker(source.rgb))
    pen.rectangle(-0.41, 0.07, 0.41, 0.2, source.rgb)
    for x in np.linspace(-0.36, 0.36, 5):
        pen.line([(x - 0.05, 0.08), (x + 0.05, 0.42)], lighter(source.rgb), 0.014)
    # The head bulges while it rings.
    swing = 0.06 * state["level"]
    pen.ellipse(
        0.0, 0.42, 0.44, 0.13 + swing, lighter(head, 0.6 * state["level"]), darker(source.rgb, 0.5), 0.026
    )
    age = trace_age(state)
    if age is not None:
        pen.ring(-0.06, 0.42, age, 0.42, (200, 60, 40), squeeze=0.3)
        pen.ring(-0.06, 0.42, 0.6 * age, 0.36, (200, 60, 40), squeeze=0.3)
        for side in (-1, 1):
            # Arcs off the rim, as comics draw a shake.
            reach = 0.46 + 0.14 * age
            pen.arc(
                0.0,
                0.42,
                reach,
                0.26,
                150 if side < 0 else -20,
                200 if side < 0 else 30,
                faded(INK, 1 - age),
                0.02,
            )
    lift, pivot = 55.0 * state["distance"], (0.58, 0.62)
    if abs(state["velocity"]) > 1.5:
        for ghost in (3, 2, 1):
            back = lift - 55.0 * state["velocity"] * 0.012 * ghost
            if 0 < back < 70:
                pen.line(
                    [pivot, _swing(pivot, 0.66, back - 14)], faded((235, 205, 150), 0.42 - 0.1 * ghost), 0.04
                )
    tip = _swing(pivot, 0.66, lift - 14)
    pen.line([pivot, tip], (176, 128, 74), 0.045)
    pen.ellipse(*tip, 0.055, 0.055, (240, 215, 165), INK)
    pen.ellipse(*pivot, 0.08, 0.075, (222, 176, 140), INK)


def _sound_drum(source: Source, start: int, stop: int) -> np.ndarray:
    snares = 0.3 * rattle(source, 1800.0, 6500.0, attack=0.002, decay=0.07)
    return strikes(source, start, stop, struck_pitches(source, 260.0), snares)


DRUM = foley_class("drum", sample_events, striker_track, _sound_drum, _draw_drum)

SKINS: tuple[Rgb, ...] = ((240, 200, 170), (222, 172, 132), (178, 122, 84), (120, 80, 56))


def _sample_clapping(generator: np.random.Generator, duration: float) -> Motion:
    times, strengths = irregular_events(generator, duration)
    return Motion(times, strengths, np.zeros(len(times)), {}, {"skin": float(generator.integers(len(SKINS)))})


def _draw_clapping(pen: Pen, source: Source, state: State) -> None:
    skin = SKINS[int(source.motion.constants["skin"])]
    hand = source.rgb if source.material == "gloved" else skin
    gap = 0.02 + 0.25 * state["distance"]
    age = trace_age(state)
    if age is not None:
        pen.rays(0.0, 0.55, age, 0.28 + 0.22 * state["strength"], (255, 190, 60), upward=False, count=12)
        pen.ring(0.0, 0.55, age, 0.42, (255, 235, 160), squeeze=1.0)
    for side in (-1.0, 1.0):
        if abs(state["velocity"]) > 1.5:
            for ghost in (2, 1):
                back = side * (gap - 0.25 * state["velocity"] * 0.014 * ghost)
                pen.ellipse(back, 0.55, 0.07, 0.2, faded(hand, 0.35 - 0.1 * ghost))
        x = side * gap
        # Palms tilt open with the distance and stand parallel when they meet.
        lean = side * 0.16 * state["distance"]
        pen.polygon(
            [(side * 0.62, -0.02), (side * 0.4, -0.02), (x + side * 0.01, 0.32), (x + side * 0.13, 0.36)],
            source.rgb if source.material == "bare" else lighter(source.rgb),
            INK,
        )
        pen.polygon(
            [(x, 0.32), (x + side * 0.15, 0.34), (x + side * 0.15 + lean, 0.62), (x + lean, 0.62)],
            hand,
            darker(hand),
        )
        for finger in range(4):
            fx = x + side * (0.018 + 0.038 * finger) + lean
            top = 0.84 + (0.03, 0.05, 0.02, -0.04)[finger]
            pen.line([(fx, 0.6), (fx + 0.5 * lean, top)], darker(hand, 0.15 if finger % 2 else 0.0), 0.045)
        pen.line([(x + side * 0.12, 0.42), (x + side * 0.2 + lean, 0.58)], hand, 0.05)


def _sound_clapping(source: Source, start: int, stop: int) -> np.ndarray:
    return strikes(source, start, stop, struck_pitches(source, 620.0))


CLAPPING = foley_class("clapping", _sample_clapping, striker_track, _sound_clapping, _draw_clapping)
