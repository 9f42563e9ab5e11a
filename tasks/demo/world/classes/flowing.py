"""Continuous sounds of lamps, liquids and strokes: a siren, pouring water, a saw."""

from functools import partial

import numpy as np

from tasks.demo.world.classes.base import State, bin_words, foley_class
from tasks.demo.world.materials import MATERIALS
from tasks.demo.world.pen import INK, Pen, Rgb, darker, faded, lighter, mix
from tasks.demo.world.scene import Curve, Motion, Source
from tasks.demo.world.synthesis import (
    band,
    cycles,
    harmonics,
    octaves,
    piece_generator,
    sample_cycles,
    shaped_noise,
    to_samples,
)
from tasks.demo.world.timeline import BLUR_SECONDS, sample_rate, wander

SPEED_OF_SOUND = 343.0
# Metres that one unit of depth stands for: an ambulance some streets away, not a toy.
DEPTH_METRES = 45.0


def _sample_siren(generator: np.random.Generator, duration: float) -> Motion:
    # Glides and holds: neither a fixed wail nor a fixed two-tone could be guessed without the lamp.
    curves = {"rate": wander(generator, duration, 0.4, 1.6)}
    depth = wander(generator, duration, 2.0, 4.0)
    moves = float(generator.random() < 0.5)
    return Motion(
        curves={**curves, "depth": Curve(depth.times, moves * depth.values)}, constants={"moves": moves}
    )


def _siren_depth(source: Source, times: np.ndarray) -> np.ndarray:
    """Distance beyond the nearest point, in units of that distance."""
    return 1.0 + source.at("depth", times)


def _siren_hertz(source: Source, times: np.ndarray) -> np.ndarray:
    rate = source.at("rate", times)
    away = (_siren_depth(source, times + 0.02) - _siren_depth(source, times - 0.02)) / 0.04
    doppler = SPEED_OF_SOUND / (SPEED_OF_SOUND + DEPTH_METRES * away)
    return 480.0 * 2.0 ** (1.5 * rate) * octaves(source, 0.8) * doppler


def _track_siren(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    depth = _siren_depth(source, times)
    turned = cycles(lambda grid: 0.5 + 2.5 * source.at("rate", grid), times)
    return {
        "rate": source.at("rate", times),
        "pitch_hz": _siren_hertz(source, times),
        "depth": depth,
        "turn": np.remainder(turned, 1.0),
        "level": 1.0 / depth,
    }


def _sound_siren(source: Source, start: int, stop: int) -> np.ndarray:
    phase = sample_cycles(lambda grid: _siren_hertz(source, grid), start, stop)
    level = to_samples(lambda grid: 1.0 / _siren_depth(source, grid), start, stop)
    # A horn of metal keeps more of the upper harmonics than one of plastic.
    slope = 1.0 if source.material == "metal" else 1.8
    amplitudes = np.arange(1, 7) ** -slope
    return level * harmonics(phase, amplitudes)


def lamp_colour(rate: float) -> Rgb:
    """Deep blue at the lowest pitch over violet to red and bright yellow at the highest."""
    stops: tuple[Rgb, ...] = ((20, 40, 150), (120, 60, 220), (235, 40, 60), (255, 150, 30), (255, 250, 150))
    place = min(rate, 0.9999) * (len(stops) - 1)
    return mix(stops[int(place)], stops[int(place) + 1], place - int(place))


def _draw_siren(pen: Pen, source: Source, state: State) -> None:
    rate, shrink = state["rate"], 1.0 / (0.6 + 0.4 * state["depth"])
    glow = lamp_colour(rate)
    pen.shadow(0.0, 0.5 * shrink)
    for halo in (3, 2, 1):
        radius = shrink * (0.18 + 0.1 * halo * (0.25 + rate))
        pen.ellipse(0.0, 0.6 * shrink, radius, radius, faded(glow, 0.12 + 0.16 * rate))
    body = source.rgb
    pen.rectangle(-0.5 * shrink, 0.08, 0.5 * shrink, 0.3 * shrink, body, darker(body), corner=0.04 * shrink)
    pen.rectangle(-0.3 * shrink, 0.24 * shrink, 0.3 * shrink, 0.44 * shrink, lighter(body), darker(body))
    for x in (-0.3, 0.3):
        pen.ellipse(x * shrink, 0.09, 0.1 * shrink, 0.1 * shrink, INK, (150, 150, 155), 0.03)
    lamp = 0.2 * shrink
    pen.rectangle(-0.9 * lamp, 0.44 * shrink, 0.9 * lamp, 0.62 * shrink, glow, INK, corner=0.3 * lamp)
    pen.pie(0.0, 0.58 * shrink, 0.9 * lamp, 180, 360, glow)
    beam = np.cos(2 * np.pi * state["turn"])
    reach = shrink * (0.3 + 0.35 * rate)
    pen.polygon(
        [(0.0, 0.58 * shrink), (reach * beam, 0.58 * shrink + 0.12), (reach * beam, 0.58 * shrink - 0.08)],
        faded(lighter(glow), 0.35 + 0.4 * rate),
    )
    # A column of light segments shows the same pitch once more.
    for step in range(6):
        lit = rate > (step + 0.5) / 6
        segment = lamp_colour((step + 0.5) / 6) if lit else (60, 60, 66)
        x = shrink * (-0.27 + 0.094 * step)
        pen.rectangle(x, 0.28 * shrink, x + 0.075 * shrink, 0.4 * shrink, segment, INK, 0.008)


def _describe_siren(source: Source, state: State) -> tuple[str, ...]:
    lamp = bin_words("siren", "lamp", state)
    light = bin_words("siren", "light", state)
    lights = round(6 * state["rate"])
    number = (
        "no lights",
        "one light",
        "two lights",
        "three lights",
        "four lights",
        "five lights",
        "six lights",
    )[lights]
    far = bin_words("siren", "far", state)
    return (
        f"its lamp {lamp}, {far}",
        f"with a {light} {lamp} lamp",
        f"with {number} on and a {lamp} lamp, {far}",
    )


SIREN = foley_class("siren", _sample_siren, _track_siren, _sound_siren, _draw_siren, _describe_siren)


def _sample_pouring(generator: np.random.Generator, duration: float) -> Motion:
    """Fill, pause and empty, again and again, each at its own speed."""
    times, fills, flows = [0.0], [0.0], [0.0]
    now, level = 0.0, float(generator.uniform(0.0, 0.4))
    fills[0] = level
    flow_times = [0.0]
    while now < duration:
        wait, pour = generator.uniform(0.15, 0.7), generator.uniform(1.2, 4.0)
        top = min(1.0, level + generator.uniform(0.35, 0.95))
        flow = (top - level) / pour
        ramp = 0.08
        flow_times += [now + wait, now + wait + ramp, now + wait + pour - ramp, now + wait + pour]
        flows += [0.0, flow, flow, 0.0]
        times += [now + wait, now + wait + pour]
        fills += [level, top]
        now, level = now + wait + pour, top
        if level > 0.7:
            drained = float(generator.uniform(0.02, 0.3))
            times.append(now + 0.6)
            fills.append(drained)
            now, level = now + 0.6, drained
    return Motion(
        curves={
            "fill": Curve(np.array(times), np.array(fills)),
            "flow": Curve(np.array(flow_times), np.array(flows)),
        }
    )


FULL_FLOW = 0.6
HIGHEST_RESONANCE = 7000.0


def _pour_hertz(source: Source, times: np.ndarray) -> np.ndarray:
    """Quarter-wave resonance of the air left above the liquid."""
    column = 0.24 * (1.08 - source.at("fill", times))
    return np.minimum(SPEED_OF_SOUND / (4 * (column + 0.02)) * octaves(source, 0.8), 5200.0)


def _track_pouring(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    flow = np.clip(source.at("flow", times) / FULL_FLOW, 0.0, 1.0)
    return {
        "rate": flow,
        "fill": source.at("fill", times),
        "pitch_hz": _pour_hertz(source, times),
        "time": times,
        "level": np.sqrt(flow),
    }


def _sound_pouring(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    flow = to_samples(lambda grid: np.clip(source.at("flow", grid) / FULL_FLOW, 0, 1), start, stop)
    phase = sample_cycles(lambda grid: _pour_hertz(source, grid), start, stop)
    hertz = to_samples(lambda grid: _pour_hertz(source, grid), start, stop)
    out = np.zeros(stop - start, np.float32)
    ring = {"metal": 22.0, "glass": 30.0, "plastic": 60.0}[source.material]
    for order, weight in ((1, 1.0), (3, 0.45)):
        # Noise narrow around 0 Hz, turned to the resonance: a resonator whose pitch may glide.
        turn = (2 * np.pi * np.remainder(order * phase, 1.0)).astype(np.float32)
        real, imaginary = (
            shaped_noise(generator, stop - start, band(1.0, ring * order, 2.0)) for _ in range(2)
        )
        # Above this the carrier would fold back at the Nyquist frequency.
        audible = order * hertz < HIGHEST_RESONANCE
        out += weight * audible * (real * np.cos(turn) - imaginary * np.sin(turn))
    splash = shaped_noise(generator, stop - start, band(1500.0, 5500.0, 1.0))
    bubbles = 1.0 + 0.4 * shaped_noise(generator, stop - start, band(2.0, 14.0, 2.0))
    return np.sqrt(flow) * bubbles * (0.7 * out + 0.35 * splash)


def _draw_pouring(pen: Pen, source: Source, state: State) -> None:
    fill, flow = state["fill"], state["rate"]
    left, right, bottom, top = -0.32, 0.22, 0.04, 0.56
    pen.shadow(-0.04, 0.42)
    water: Rgb = source.rgb
    surface = bottom + 0.02 + fill * (top - bottom - 0.03)
    opaque = source.material == "metal"
    wall = {"metal": (165, 170, 180), "glass": (232, 244, 248), "plastic": (240, 226, 200)}[source.material]
    pen.rectangle(left, bottom, right, top, faded(wall, 0.75 if not opaque else 1.0))
    # A metal vessel has a window, or nobody could see it fill.
    inner = (left + 0.1, right - 0.1) if opaque else (left + 0.02, right - 0.02)
    pen.rectangle(inner[0], bottom + 0.02, inner[1], top, faded((250, 250, 250), 0.55))
    pen.rectangle(inner[0], bottom + 0.02, inner[1], surface, faded(water, 0.9))
    if flow > 0.02:
        width = 0.02 + 0.11 * flow
        wave = 0.01 * float(np.sin(40 * state["time"]))
        pen.rectangle(-0.04 - width / 2 + wave, surface, -0.04 + width / 2 + wave, 0.74, lighter(water, 0.25))
        for bubble in range(round(3 + 8 * flow)):
            x = -0.04 + 0.2 * np.sin(7.1 * bubble + 11 * state["time"])
            y = surface - 0.09 * abs(np.sin(3.3 * bubble + 8 * state["time"])) * (0.3 + flow)
            pen.ellipse(x, max(y, bottom + 0.04), 0.022, 0.022, lighter(water, 0.7))
        pen.ellipse(-0.04, surface, 0.12 + 0.12 * flow, 0.035, lighter(water, 0.6))
    pen.line([(left, top), (left, bottom), (right, bottom), (right, top)], darker(wall, 0.5), 0.03)
    for mark in (0.25, 0.5, 0.75):
        y = bottom + 0.02 + mark * (top - bottom - 0.03)
        pen.line([(right - 0.09, y), (right, y)], INK, 0.014)
    # The jug tips further the faster it pours.
    tip = 0.05 + 0.2 * flow if flow > 0.02 else 0.0
    jug = mix(source.rgb, (190, 120, 80), 0.75)
    spout = (0.0, 0.74)
    points = [spout, (0.08, 0.88 + 0.6 * tip), (0.46, 0.84 + tip), (0.44, 0.58 + tip), (0.14, 0.6 + tip)]
    pen.polygon(points, jug, darker(jug))
    pen.arc(0.46, 0.71 + tip, 0.08, 0.12, -90, 90, darker(jug), 0.035)


POURING = foley_class("pouring", _sample_pouring, _track_pouring, _sound_pouring, _draw_pouring)


def _strokes(source: Source, times: np.ndarray) -> np.ndarray:
    """Strokes (back and forth) per second."""
    return 0.5 + 1.7 * source.at("rate", times)


def _saw_place(source: Source, times: np.ndarray) -> np.ndarray:
    turned = cycles(lambda grid: _strokes(source, grid), np.maximum(times, 0.0))
    return np.sin(2 * np.pi * (turned + source.motion.constants["phase"]))


def _track_sawing(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    velocity = (
        _saw_place(source, times + BLUR_SECONDS / 2) - _saw_place(source, times - BLUR_SECONDS / 2)
    ) / BLUR_SECONDS
    return {
        "rate": source.at("rate", times),
        "pitch_hz": _strokes(source, times),
        "position": _saw_place(source, times),
        "velocity": velocity,
        "level": np.clip(np.abs(velocity) / (2 * np.pi * 2.2), 0.0, 1.0),
    }


def _sound_sawing(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)

    def velocity(times: np.ndarray) -> np.ndarray:
        return _track_sawing(source, times)["velocity"] / (2 * np.pi * 2.2)

    speed = to_samples(velocity, start, stop)
    level = np.abs(speed) ** 1.2
    # The pushing stroke bites deeper and sounds lower than the pulling one.
    push = (speed > 0).astype(np.float32)
    centre = 900.0 * MATERIALS[source.material].pitch * octaves(source)
    low = shaped_noise(generator, stop - start, band(0.5 * centre, 1.1 * centre, 1.5))
    high = shaped_noise(generator, stop - start, band(1.3 * centre, min(3.0 * centre, 6800.0), 1.5))
    teeth = sample_cycles(lambda grid: 30.0 + 160.0 * np.abs(velocity(grid)), start, stop)
    rasp = 1.0 + 0.7 * np.sin(2 * np.pi * np.remainder(teeth, 1.0)).astype(np.float32)
    return level * rasp * (low * (0.5 + 0.5 * push) + high * (0.75 - 0.4 * push))


def _draw_sawing(pen: Pen, source: Source, state: State) -> None:
    log = {"wooden": (170, 120, 72), "metal": (150, 156, 168), "plastic": (225, 225, 215)}[source.material]
    pen.shadow(0.0, 0.5)
    pen.line([(-0.3, 0.0), (-0.12, 0.26)], (90, 62, 40), 0.05)
    pen.line([(0.3, 0.0), (0.12, 0.26)], (90, 62, 40), 0.05)
    pen.rectangle(-0.46, 0.2, 0.46, 0.48, log, darker(log), corner=0.08)
    pen.ellipse(0.4, 0.34, 0.08, 0.14, lighter(log), darker(log))
    speed = state["level"]
    for grain in range(round(26 * speed)):
        # Sawdust falls while the teeth bite: as much as the blade is fast.
        x = 0.16 * np.sin(5.3 * grain + 3 * state["position"])
        y = 0.2 - 0.19 * ((0.37 * grain + abs(state["position"])) % 1.0)
        pen.ellipse(x, y, 0.02, 0.02, lighter(log, 0.4))
    shift, y = 0.2 * state["position"] - 0.04, 0.5
    steps = 1 + round(4 * speed)
    for ghost in range(steps, 0, -1):
        behind = shift - 0.2 * state["velocity"] * 0.008 * ghost
        pen.polygon(
            [(behind - 0.5, y), (behind + 0.36, y), (behind + 0.36, y + 0.17), (behind - 0.5, y + 0.08)],
            faded((205, 210, 218), 0.25),
        )
    blade = [
        (shift - 0.5, y - 0.02),
        (shift + 0.36, y - 0.02),
        (shift + 0.36, y + 0.17),
        (shift - 0.5, y + 0.07),
    ]
    pen.polygon(blade, (205, 210, 218), INK)
    for tooth in np.linspace(-0.48, 0.32, 11):
        pen.polygon(
            [(shift + tooth, y - 0.01), (shift + tooth + 0.035, y - 0.06), (shift + tooth + 0.07, y - 0.01)],
            INK,
        )
    pen.rectangle(shift + 0.34, y - 0.02, shift + 0.54, y + 0.22, source.rgb, darker(source.rgb), corner=0.05)
    pen.rectangle(shift + 0.4, y + 0.05, shift + 0.48, y + 0.15, darker(source.rgb, 0.7), corner=0.03)


_sample_sawing = partial(sample_rate, shortest=0.8, longest=2.2)
SAWING = foley_class("sawing", _sample_sawing, _track_sawing, _sound_sawing, _draw_sawing)
