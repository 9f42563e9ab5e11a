"""Continuous sounds of what turns: an engine, a bicycle wheel, a fan; faster is higher."""

import numpy as np
from scipy.signal import oaconvolve

from tasks.demo.world.classes.base import State, foley_class
from tasks.demo.world.materials import MATERIALS
from tasks.demo.world.pen import INK, Pen, darker, faded, lighter, mix
from tasks.demo.world.scene import Motion, Source
from tasks.demo.world.synthesis import (
    Note,
    band,
    cycles,
    harmonics,
    octaves,
    piece_generator,
    sample_cycles,
    shaped_noise,
    to_samples,
)
from tasks.demo.world.timeline import wander

# How long the shutter stays open, for the blur of what turns.
EXPOSURE_SECONDS = 0.03


def _sample_rate(generator: np.random.Generator, duration: float) -> Motion:
    return Motion(
        curves={"rate": wander(generator, duration)},
        constants={"count": float(generator.integers(3, 6)), "phase": generator.random()},
    )


def _dial(pen: Pen, x: float, y: float, radius: float, value: float) -> None:
    """A dial from green to red whose needle shows ``value`` in [0, 1]."""
    pen.ellipse(x, y, radius, radius, (245, 245, 240), INK, 0.02)
    for step in range(6):
        colour = mix((60, 180, 75), (225, 40, 40), step / 5)
        pen.arc(x, y, 0.85 * radius, 0.85 * radius, 150 + 40 * step, 190 + 40 * step, colour, 0.28 * radius)
    turn = np.radians(210 - 240 * value)
    pen.line([(x, y), (x + 0.78 * radius * np.cos(turn), y + 0.78 * radius * np.sin(turn))], INK, 0.03)
    pen.ellipse(x, y, 0.14 * radius, 0.14 * radius, INK)


def _engine_hertz(source: Source, times: np.ndarray) -> np.ndarray:
    """Firings per second: two a turn of a four-stroke engine with four cylinders."""
    return (28.0 + 120.0 * source.at("rate", times) ** 1.2) * octaves(source, 0.8)


def _track_engine(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    rate = source.at("rate", times)
    turns = cycles(lambda grid: 1.5 + 9.0 * source.at("rate", grid), times)
    return {
        "rate": rate,
        "pitch_hz": _engine_hertz(source, times),
        "turn": np.remainder(turns + source.motion.constants["phase"], 1.0),
        "time": times,
        "level": 0.35 + 0.65 * rate,
    }


def _sound_engine(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    phase = sample_cycles(lambda grid: _engine_hertz(source, grid), start, stop)
    level = to_samples(lambda grid: source.at("rate", grid), start, stop)
    orders = np.arange(1, 17)
    # A muffler: metal rings brighter than plastic covers; even orders stand out as in a real four-cylinder.
    slope = 0.8 if source.material == "metal" else 1.15
    amplitudes = orders**-slope * np.where(orders % 2, 0.8, 1.0)
    tone = harmonics(phase + 0.02 * np.sin(2 * np.pi * phase / 2), amplitudes) / 1.6
    puff = (0.5 + 0.5 * np.cos(2 * np.pi * phase)).astype(np.float32) ** 4
    noise = shaped_noise(generator, stop - start, band(150.0, 1800.0, 1.0))
    return (0.35 + 0.65 * level) * (0.75 * tone + (0.25 + 0.5 * level) * puff * noise)


def _draw_engine(pen: Pen, source: Source, state: State) -> None:
    rate = state["rate"]
    jolt = 0.012 * (0.3 + rate) * float(np.sin(2 * np.pi * 9.3 * state["time"]))
    pen.shadow(0.0, 0.55)
    for puff in range(6):
        # Smoke puffs rise from the pipe; more and darker with speed.
        age = (state["turn"] * 0.5 + puff / 6) % 1.0
        radius = (0.03 + 0.15 * age) * (0.35 + 0.9 * rate)
        grey = round(225 - 150 * rate)
        shade = faded((grey, grey, grey), (0.25 + 0.65 * rate) * (1 - age))
        pen.ellipse(0.4 + 0.12 * age, 0.66 + 0.36 * age, radius, radius, shade)
    body = source.rgb
    pen.rectangle(-0.5, 0.06 + jolt, 0.46, 0.5 + jolt, body, darker(body), corner=0.05)
    for x in (-0.44, -0.3, -0.16, -0.02):
        pen.rectangle(x, 0.5 + jolt, x + 0.1, 0.64 + jolt, darker(body, 0.2), darker(body, 0.6))
    pen.rectangle(0.34, 0.5 + jolt, 0.45, 0.68 + jolt, (90, 90, 96), INK)
    pen.rectangle(-0.46, 0.0, -0.3, 0.08, INK)
    pen.rectangle(0.26, 0.0, 0.42, 0.08, INK)
    _dial(pen, 0.22, 0.29 + jolt, 0.17, rate)
    _spokes(pen, (-0.24, 0.29 + jolt), 0.18, 4, state["turn"], 1.5 + 9.0 * rate, (205, 208, 214), INK)


def _spokes(
    pen: Pen,
    centre: tuple[float, float],
    radius: float,
    count: int,
    turn: float,
    turns_per_second: float,
    ground: tuple[int, int, int] | None,
    ink: tuple[int, int, int],
    wide: float = 12.0,
) -> None:
    """Spokes or blades as the shutter sees them: each wider and fainter the faster they turn."""
    x, y = centre
    if ground is not None:
        pen.ellipse(x, y, radius, radius, ground, INK, 0.02)
    blur = min(360.0 * turns_per_second * EXPOSURE_SECONDS, 360.0 / count)
    layers = 4
    for spoke in range(count):
        angle = 360.0 * (turn + spoke / count)
        for layer in range(layers):
            # Nested wedges fade towards the trailing edge.
            reach = blur * (layer + 1) / layers
            share = wide / (wide + 0.5 * blur)
            pen.pie(x, y, 0.94 * radius, angle - reach, angle + wide, faded(ink, share / (1 + 0.8 * layer)))
    pen.ellipse(x, y, 0.16 * radius, 0.16 * radius, lighter(ink), INK)


ENGINE = foley_class("engine", _sample_rate, _track_engine, _sound_engine, _draw_engine)


def _wheel_turns(source: Source, times: np.ndarray) -> np.ndarray:
    """Turns per second."""
    return 0.25 + 3.0 * source.at("rate", times) ** 1.3


CLICKS_PER_TURN = 9


def _track_wheel(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    turns = _wheel_turns(source, times)
    turned = cycles(lambda grid: _wheel_turns(source, grid), times)
    return {
        "rate": source.at("rate", times),
        "pitch_hz": CLICKS_PER_TURN * turns,
        "turn": np.remainder(turned + source.motion.constants["phase"], 1.0),
        "turns_per_second": turns,
        "level": 0.4 + 0.6 * source.at("rate", times),
    }


def _sound_wheel(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    material = MATERIALS["plastic" if source.material == "plastic" else "metal"]
    note = Note(material, 900.0 * octaves(source), np.random.default_rng(source.noise_seed)).strike(0.8)
    note = note[:1600] * np.exp(-np.arange(min(len(note), 1600)) / 220.0)
    phase = sample_cycles(lambda grid: _wheel_turns(source, grid), start, stop) * CLICKS_PER_TURN
    level = to_samples(lambda grid: source.at("rate", grid), start, stop)
    clicks = np.diff(np.floor(phase), prepend=np.floor(phase[0])) * (0.5 + 0.5 * level)
    ratchet = oaconvolve(clicks, note)[: stop - start].astype(np.float32)
    rush = shaped_noise(generator, stop - start, band(300.0, 2500.0, 1.0))
    hum = harmonics(
        sample_cycles(lambda grid: 24.0 * _wheel_turns(source, grid) + 60, start, stop), np.array([1, 0.5])
    )
    return 2.2 * ratchet + 0.25 * level**1.5 * rush + 0.25 * level * hum


def _draw_wheel(pen: Pen, source: Source, state: State) -> None:
    rate, centre = state["rate"], (0.0, 0.46)
    pen.shadow(0.0, 0.4)
    pen.line([(-0.3, 0.0), (0.0, 0.46), (0.3, 0.0)], darker(source.rgb, 0.5), 0.05)
    for step in range(round(9 * rate)):
        # Lines of rushing air around the rim: as many as the speed.
        begin = 40 * step + 360 * state["turn"] * 0.2
        pen.arc(0.0, 0.46, 0.52, 0.52, begin, begin + 10 + 24 * rate, faded((255, 255, 255), 0.9), 0.022)
    pen.ellipse(*centre, 0.45, 0.45, (228, 230, 232), INK, 0.055)
    pen.ellipse(*centre, 0.4, 0.4, None, source.rgb, 0.06)
    _spokes(pen, centre, 0.36, 7, state["turn"], state["turns_per_second"], None, (70, 74, 84), wide=5.0)
    # One coloured reflector: its smear is the speed.
    blur = 360.0 * state["turns_per_second"] * EXPOSURE_SECONDS * 2
    angle = 360.0 * state["turn"]
    pen.arc(*centre, 0.33, 0.33, angle - blur, angle + 14, faded((255, 120, 0), 0.9), 0.1)


WHEEL = foley_class("wheel", _sample_rate, _track_wheel, _sound_wheel, _draw_wheel)


def _blade_hertz(source: Source, times: np.ndarray) -> np.ndarray:
    """Blades passing per second, an octave or two above what a desk fan has so that it is heard."""
    return (55.0 + 190.0 * source.at("rate", times)) * octaves(source, 0.8)


def _track_fan(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    rate = source.at("rate", times)
    turned = cycles(lambda grid: 0.4 + 6.0 * source.at("rate", grid), times)
    return {
        "rate": rate,
        "pitch_hz": _blade_hertz(source, times),
        "turn": np.remainder(turned + source.motion.constants["phase"], 1.0),
        "time": times,
        "level": 0.2 + 0.8 * rate,
    }


def _sound_fan(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    level = to_samples(lambda grid: source.at("rate", grid), start, stop)
    phase = sample_cycles(lambda grid: _blade_hertz(source, grid), start, stop)
    tone = harmonics(phase, np.array([1.0, 0.5, 0.3, 0.12, 0.06]))
    low = shaped_noise(generator, stop - start, band(120.0, 700.0, 1.0))
    high = shaped_noise(generator, stop - start, band(900.0, 4000.0, 1.0))
    flutter = 1.0 + 0.5 * np.cos(2 * np.pi * np.remainder(phase / 8, 1.0)).astype(np.float32)
    clatter = 0.12 if source.material == "metal" else 0.05
    return (0.2 + 0.8 * level) * (0.35 * tone + 0.55 * low + (clatter + 0.5 * level**2) * flutter * high)


def _draw_fan(pen: Pen, source: Source, state: State) -> None:
    rate, centre = state["rate"], (-0.06, 0.58)
    pen.shadow(-0.06, 0.34)
    pen.rectangle(-0.1, 0.06, -0.02, 0.5, darker(source.rgb), INK)
    pen.rectangle(-0.3, 0.0, 0.18, 0.08, darker(source.rgb), INK, corner=0.03)
    # Pale blades turn before a dark disc, dark ones before a pale one.
    disc = (66, 70, 82) if sum(source.rgb) > 480 else (236, 238, 240)
    pen.ellipse(*centre, 0.41, 0.41, disc, INK, 0.03)
    count = int(source.motion.constants["count"])
    _spokes(pen, centre, 0.38, count, state["turn"], 0.4 + 6.0 * rate, None, source.rgb, wide=34.0)
    for radius in (0.2, 0.3):
        pen.ellipse(*centre, radius, radius, None, faded(INK, 0.55), 0.01)
    for ribbon in range(3):
        # Ribbons hang when the air is still and stream out in the wind.
        hang = np.radians(-85 + 85 * rate + 7 * rate * np.sin(2 * np.pi * (2.1 * state["time"] + ribbon / 3)))
        x, y = 0.24, 0.72 - 0.14 * ribbon
        colour = ((225, 40, 60), (250, 180, 30), (40, 110, 220))[ribbon]
        points = [
            (
                x + s * 0.36 * np.cos(hang),
                y + s * 0.36 * np.sin(hang) + 0.025 * rate * np.sin(9 * s + 6 * state["time"]),
            )
            for s in np.linspace(0, 1, 6)
        ]
        pen.line(points, colour, 0.035)


FAN = foley_class("fan", _sample_rate, _track_fan, _sound_fan, _draw_fan)
