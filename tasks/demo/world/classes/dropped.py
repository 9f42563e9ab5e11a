"""Impacts of what falls: a bouncing ball, a dripping tap, a footstep."""

from functools import partial

import numpy as np

from tasks.demo.world.classes.base import State, bin_words, foley_class, striker_words
from tasks.demo.world.pen import INK, Pen, Rgb, darker, faded, lighter, mix
from tasks.demo.world.scene import Motion, Source
from tasks.demo.world.synthesis import bubble, octaves, rattle, strikes, struck_pitches, thud
from tasks.demo.world.timeline import (
    FAR_SECONDS,
    irregular_events,
    sample_events,
    striker_track,
    trace_age,
)

# The longest flight between two bounces; flights follow one gravity, so height goes with its square.
LONGEST_FLIGHT = 1.15
SQUASH_SECONDS = 0.035


def _sample_bounce(generator: np.random.Generator, duration: float) -> Motion:
    times, _ = irregular_events(generator, duration, 0.28, LONGEST_FLIGHT, pause_share=0.0)
    first_flight = generator.uniform(0.5, LONGEST_FLIGHT)
    flights = np.concatenate([[first_flight], np.diff(times)])
    last_flight = max(generator.uniform(0.5, LONGEST_FLIGHT), duration - times[-1] + 0.02)
    # It lands as fast as it left: half its flight times gravity.
    strengths = np.clip(0.15 + 0.85 * flights / LONGEST_FLIGHT, 0.0, 1.0)
    return Motion(times, strengths, np.zeros(len(times)), {}, {"first": first_flight, "last": last_flight})


def _bounce_height(source: Source, times: np.ndarray) -> np.ndarray:
    events = source.motion.event_times
    constants = source.motion.constants
    bounds = np.concatenate(
        [[events[0] - constants["first"]], events, [events[-1] + min(constants["last"], LONGEST_FLIGHT)]]
    )
    last = np.clip(np.searchsorted(bounds, times, side="right") - 1, 0, len(bounds) - 2)
    flight = bounds[last + 1] - bounds[last]
    share = np.clip((times - bounds[last]) / flight, 0.0, 1.0)
    return 4 * share * (1 - share) * (flight / LONGEST_FLIGHT) ** 2


_track_bounce = partial(striker_track, distance_at=_bounce_height)


def _squash(state: State) -> float:
    strength = state["strength"] if state["since"] < state["until"] else state["next_strength"]
    return float(strength * np.exp(-((min(state["since"], state["until"]) / SQUASH_SECONDS) ** 2)))


def ball(pen: Pen, source: Source, x: float, y: float, rx: float, ry: float) -> None:
    """A ball whose surface shows its material."""
    fill = source.rgb
    if source.material == "glass":
        pen.ellipse(x, y, rx, ry, faded(fill, 0.6), lighter(fill), 0.02)
    else:
        pen.ellipse(x, y, rx, ry, fill, darker(fill), 0.016)
    if source.material in ("metal", "glass"):
        pen.ellipse(x - 0.35 * rx, y + 0.4 * ry, 0.32 * rx, 0.24 * ry, faded((255, 255, 255), 0.95))
        pen.arc(x, y, 0.75 * rx, 0.75 * ry, 20, 100, lighter(fill), 0.03)
    elif source.material == "wooden":
        for share in (0.35, 0.7):
            pen.ellipse(x, y, share * rx, share * ry, None, darker(fill, 0.45), 0.012)
    elif source.material == "leather":
        pen.line([(x - rx, y), (x + rx, y)], darker(fill, 0.6), 0.014)
        pen.line([(x, y - ry), (x, y + ry)], darker(fill, 0.6), 0.014)
    else:
        pen.arc(x, y, 0.72 * rx, 0.72 * ry, 190, 260, lighter(fill, 0.6), 0.035)


def _draw_bounce(pen: Pen, source: Source, state: State) -> None:
    radius = 0.15 + 0.05 * source.size
    height = 0.6 * state["distance"]
    squash = 0.45 * _squash(state)
    pen.shadow(0.0, 1.15 * radius, height / 0.6)
    age = trace_age(state)
    if age is not None:
        pen.ring(0.0, 0.0, age, 0.25 + 0.3 * state["strength"], (250, 240, 215))
    # Ghosts against the motion: what an open shutter would have seen.
    for ghost in (3, 2, 1):
        behind = height - 0.6 * state["velocity"] * 0.012 * ghost
        if abs(behind - height) > 0.01 and behind > 0:
            pen.ellipse(0.0, behind + radius, 0.9 * radius, radius, faded(source.rgb, 0.28 - 0.06 * ghost))
    ry = radius * (1 - squash)
    ball(pen, source, 0.0, height + ry, radius * (1 + 0.6 * squash), ry)


def _sound_bounce(source: Source, start: int, stop: int) -> np.ndarray:
    # The floor sounds too, whatever falls on it.
    floor = 0.6 * thud((74.0, 112.0), 0.22)
    return strikes(source, start, stop, struck_pitches(source, 210.0), floor)


def _describe_bounce(source: Source, state: State) -> tuple[str, ...]:
    if min(state["since"], state["until"]) < 0.022:
        return ("touching the floor, squashed", "hitting the floor, squeezed flat")
    place = bin_words("bounce", "place", state)
    if state["velocity"] < -1.2:
        place += ", falling"
    elif state["velocity"] > 1.2:
        place += ", rising"
    if state["since"] < 0.36:
        trace = bin_words("bounce", "trace", state)
        return (f"{place}, {trace} dust ring on the floor", f"{place} with {trace} ring below it")
    return (place,)


BOUNCE = foley_class("bounce", _sample_bounce, _track_bounce, _sound_bounce, _draw_bounce, _describe_bounce)


DRIP_TOP = 0.72
WATER: Rgb = (90, 165, 235)


def _draw_drip(pen: Pen, source: Source, state: State) -> None:
    tap = (150, 155, 165)
    pen.rectangle(-0.42, 0.86, 0.1, 0.97, tap, darker(tap), corner=0.03)
    pen.rectangle(-0.03, 0.76, 0.09, 0.93, tap, darker(tap), corner=0.02)
    pen.rectangle(-0.28, 0.95, -0.1, 1.05, source.rgb, darker(source.rgb), corner=0.03)
    pen.shadow(0.03, 0.42)
    rim = {"metal": (175, 180, 190), "stone": (130, 122, 115), "plastic": source.rgb, "water": source.rgb}[
        source.material
    ]
    surface = 0.2
    pen.polygon([(-0.38, surface), (0.44, surface), (0.34, 0.0), (-0.28, 0.0)], rim, darker(rim))
    inside = WATER if source.material == "water" else darker(rim, 0.25)
    pen.ellipse(0.03, surface, 0.41, 0.12, inside, darker(rim), 0.02)
    age = trace_age(state)
    if age is not None:
        pen.ring(0.03, surface, age, 0.22 + 0.2 * state["strength"], (255, 255, 255), squeeze=0.3)
        for side in (-1, 1):
            # The crown of the splash flies up and out.
            rise = 0.5 * age - 0.55 * age * age
            pen.ellipse(0.03 + side * 0.28 * age, surface + 0.04 + rise, 0.035, 0.035, lighter(WATER, 0.5))
    radius = 0.05 + 0.035 * state["next_strength"]
    if state["until"] < 0.24:
        y = surface + state["distance"] * (DRIP_TOP - surface)
        streak = min(0.2, -0.035 * min(state["velocity"], 0.0))
        pen.line([(0.03, y), (0.03, y + streak + radius)], faded(WATER, 0.55), radius)
        pen.ellipse(0.03, y + radius, radius, 1.25 * radius, WATER, lighter(WATER), 0.014)
    elif state["until"] < 1.2:
        # The next drop swells at the tap as its moment comes.
        grown = radius * (1.2 - state["until"]) / 0.96
        pen.ellipse(0.03, DRIP_TOP + 0.02, 0.9 * grown, 1.2 * grown, WATER, lighter(WATER), 0.014)


def _sound_drip(source: Source, start: int, stop: int) -> np.ndarray:
    # A larger drop drags a larger bubble under.
    pop = 0.6 * bubble(720.0 * octaves(source), rise=9.0, t60=0.16, delay=0.012)
    return strikes(source, start, stop, struck_pitches(source, 420.0), pop)


def _describe_drip(source: Source, state: State) -> tuple[str, ...]:
    if min(state["since"], state["until"]) < 0.022:
        return ("with a drop hitting the basin", "with a drop touching the surface, splashing")
    words = bin_words("drip", "falling" if state["until"] < 0.24 else "hanging", state)
    if state["since"] < 0.36:
        words += bin_words("drip", "ripple", state)
    return (f"with {words}", words)


DRIP = foley_class("drip", sample_events, striker_track, _sound_drip, _draw_drip, _describe_drip)


GROUNDS: dict[str, Rgb] = {
    "wooden": (150, 102, 62),
    "gravel": (128, 124, 118),
    "snow": (236, 242, 248),
    "metal": (160, 168, 180),
    "stone": (104, 100, 104),
}


def _sample_footstep(generator: np.random.Generator, duration: float) -> Motion:
    times, strengths = irregular_events(generator, duration, 0.3, 1.2)
    return Motion(times, strengths, np.arange(len(times)) % 2.0)


def _draw_footstep(pen: Pen, source: Source, state: State) -> None:
    ground = GROUNDS[source.material]
    pen.polygon([(-0.55, 0.0), (0.6, 0.0), (0.5, 0.16), (-0.45, 0.16)], ground, darker(ground))
    for x in np.linspace(-0.4, 0.4, 5):
        pen.line([(x * 1.15, 0.01), (x, 0.15)], darker(ground, 0.25), 0.012)
    # The foot that lands next is in the air; the other stands.
    moving = state["next_value"] if state["until"] < FAR_SECONDS else 1.0 - state["value"]
    lifting = state["value"] if state["since"] < 0.1 else moving
    age = trace_age(state)
    for foot in (0.0, 1.0):
        x = -0.2 if foot == 0.0 else 0.16
        lift = 0.34 * state["distance"] if foot == moving and lifting == moving else 0.0
        y = 0.07 + lift
        trousers = mix(source.rgb, (40, 46, 70), 0.6)
        pen.polygon(
            [
                (x - 0.085, y + 0.1),
                (x + 0.085, y + 0.1),
                (x + 0.07 + 0.1 * lift, 1.05),
                (x - 0.1 + 0.1 * lift, 1.05),
            ],
            trousers,
            darker(trousers),
        )
        if age is not None and foot == state["value"]:
            pen.ring(x + 0.05, 0.06, age, 0.22 + 0.16 * state["strength"], lighter(ground, 0.6), squeeze=0.3)
            for side in (-1, 1):
                puff = 0.06 + 0.1 * age
                dust = lighter(ground, 0.4)
                pen.ellipse(
                    x + 0.05 + side * (0.16 + 0.22 * age),
                    0.08 + 0.1 * age,
                    puff,
                    0.7 * puff,
                    faded(dust, 0.95 * (1 - 0.8 * age)),
                    faded(darker(dust), 0.9 * (1 - age)),
                )
        # The toe hangs while the foot is up and lies flat on the ground.
        tilt = 0.35 * lift
        pen.polygon(
            [
                (x - 0.11, y + tilt),
                (x - 0.11, y + 0.17),
                (x + 0.08, y + 0.17),
                (x + 0.24, y + 0.1 - tilt),
                (x + 0.26, y - tilt),
            ],
            source.rgb,
            darker(source.rgb),
        )
        pen.line([(x - 0.12, y + tilt), (x + 0.26, y - tilt)], INK, 0.035)


def _sound_footstep(source: Source, start: int, stop: int) -> np.ndarray:
    # The sole rolls after the heel.
    roll = 0.2 * rattle(source, 900.0, 3600.0, attack=0.12, decay=0.05, delay=0.02)
    # No two feet sound quite the same.
    return strikes(source, start, stop, struck_pitches(source, 150.0, (1.0, 1.08)), roll)


def _describe_footstep(source: Source, state: State) -> tuple[str, ...]:
    ground = {"wooden": "wooden floor", "metal": "metal plate", "stone": "stone pavement"}.get(
        source.material, source.material
    )
    return striker_words("footstep", source, state, ground=ground)


FOOTSTEP = foley_class(
    "footstep", _sample_footstep, striker_track, _sound_footstep, _draw_footstep, _describe_footstep
)
