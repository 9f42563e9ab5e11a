"""Textures whose density one sees: rain, fire, wind, a crowd."""

from functools import partial

import numpy as np

from tasks.demo.world.classes.base import State, foley_class
from tasks.demo.world.materials import MATERIALS
from tasks.demo.world.pen import INK, Pen, Rgb, darker, faded, lighter, mix
from tasks.demo.world.scene import Source
from tasks.demo.world.synthesis import (
    Note,
    band,
    harmonics,
    impulses,
    octaves,
    piece_generator,
    sample_cycles,
    shaped_noise,
    to_samples,
)
from tasks.demo.world.timeline import sample_rate

GOLDEN = 0.6180339887


_sample = partial(sample_rate, shortest=0.8, longest=2.5)


def _track(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    rate = source.at("rate", times)
    return {"rate": rate, "time": times, "level": 0.15 + 0.85 * rate}


def _intensity(source: Source, start: int, stop: int) -> np.ndarray:
    return to_samples(partial(source.at, "rate"), start, stop)


def _sound_rain(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    rate = _intensity(source, start, stop)
    material = MATERIALS[source.material]
    note = Note(material, 700.0 * material.pitch * octaves(source), np.random.default_rng(source.noise_seed))
    drop = note.strike(0.9)[: int(0.12 * 16_000)]
    drops = impulses(generator, 10.0 + 260.0 * rate**1.5, drop * np.exp(-np.arange(len(drop)) / 500.0))
    hiss = shaped_noise(generator, stop - start, band(1200.0, 6500.0, 0.8))
    return (0.1 + 0.9 * rate**1.3) * 0.5 * hiss + (0.35 - 0.1 * rate) * drops


def _draw_rain(pen: Pen, source: Source, state: State) -> None:
    rate = state["rate"]
    grey = round(190 - 110 * rate)
    roof: Rgb = {
        "metal": (150, 156, 168),
        "wooden": (140, 96, 60),
        "stone": (118, 114, 116),
        "plastic": source.rgb,
    }[source.material]
    pen.rectangle(-0.4, 0.0, 0.4, 0.3, lighter(source.rgb, 0.5), darker(source.rgb))
    pen.rectangle(-0.08, 0.0, 0.08, 0.2, darker(source.rgb, 0.6))
    pen.polygon([(-0.54, 0.28), (0.54, 0.28), (0.36, 0.5), (-0.36, 0.5)], roof, darker(roof))
    for x in np.linspace(-0.4, 0.4, 6):
        pen.line([(1.05 * x, 0.29), (0.75 * x, 0.49)], darker(roof, 0.3), 0.012)
    for puff, (x, y) in enumerate(((-0.3, 0.96), (0.0, 1.02), (0.3, 0.95), (-0.12, 0.92), (0.16, 0.92))):
        pen.ellipse(x, y, 0.2 + 0.05 * rate, 0.08 + 0.05 * rate, (grey, grey, min(255, grey + 10 - puff)))
    fall = state["time"] * 2.4
    streak = 0.05 + 0.12 * rate
    for drop in range(round(4 + 70 * rate)):
        x = ((drop * GOLDEN) % 1.0 - 0.5) * 1.1
        y = 0.9 - (fall + drop * 0.377) % 0.9
        pen.line(
            [(x, y), (x + 0.02, y + streak)], faded((70, 110, 190), 0.55 + 0.35 * rate), 0.012 + 0.008 * rate
        )
    for splash in range(round(2 + 14 * rate)):
        x = ((splash * GOLDEN + 3 * state["time"]) % 1.0 - 0.5) * 0.95
        pen.ellipse(x, 0.5, 0.04, 0.016, None, (240, 248, 255), 0.01)


RAIN = foley_class("rain", _sample, _track, _sound_rain, _draw_rain)


def _sound_fire(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    rate = _intensity(source, start, stop)
    rumble = shaped_noise(generator, stop - start, band(60.0, 280.0, 1.2))
    hiss = shaped_noise(generator, stop - start, band(1500.0, 5000.0, 0.8))
    flicker = 1.0 + 0.5 * shaped_noise(generator, stop - start, band(3.0, 9.0, 2.0))
    seeded = np.random.default_rng(source.noise_seed)
    crackle = shaped_noise(seeded, 320, band(1800.0, 6500.0, 1.0)) * np.exp(-np.arange(320) / 28.0)
    pops = impulses(generator, 4.0 + 38.0 * rate, crackle.astype(np.float32), spread=0.45)
    return (0.15 + 0.85 * rate) * (0.7 * flicker * rumble + 0.16 * hiss) + (0.25 + 0.3 * rate) * pops


def _draw_fire(pen: Pen, source: Source, state: State) -> None:
    rate, time = state["rate"], state["time"]
    glow = 0.28 + 0.3 * rate
    pen.ellipse(0.0, 0.3, glow * 1.2, glow, faded((255, 150, 40), 0.15 + 0.25 * rate))
    pen.shadow(0.0, 0.45)
    fuel = (96, 64, 40) if source.material == "wooden" else (52, 48, 50)
    for x, tilt in ((-0.14, 0.1), (0.14, -0.1), (0.0, 0.02)):
        pen.line([(x - 0.28, 0.03 + tilt), (x + 0.28, 0.03 - tilt + 0.08)], fuel, 0.1)
    for layer, colour in enumerate(((225, 60, 20), (250, 140, 25), (255, 220, 90))):
        share = 1.0 - 0.3 * layer
        high, wide = (0.16 + 0.75 * rate) * share, (0.14 + 0.2 * rate) * share
        points = [(-wide, 0.06)]
        for tongue in range(5):
            x = -wide + 2 * wide * (tongue + 0.5) / 5
            sway = 0.05 * np.sin(9 * time + 2.4 * tongue + layer) * (0.4 + rate)
            reach = (
                high
                * (0.62 + 0.38 * np.sin(7.3 * time + 1.9 * tongue + layer) ** 2)
                * (1 - 0.5 * abs(tongue - 2) / 2)
            )
            points += [(x + sway, 0.06 + reach), (x + wide / 5, 0.06 + 0.35 * reach)]
        points.append((wide, 0.06))
        pen.polygon(points, colour)
    for spark in range(round(2 + 16 * rate)):
        age = (0.9 * time + spark * GOLDEN) % 1.0
        x = 0.34 * np.sin(5.1 * spark + 2 * age)
        pen.ellipse(x, 0.2 + (0.3 + 0.6 * rate) * age, 0.014, 0.014, faded((255, 190, 60), 1 - age))


FIRE = foley_class("fire", _sample, _track, _sound_fire, _draw_fire)


def _sound_wind(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    rate = _intensity(source, start, stop)
    low, middle, high = (
        shaped_noise(generator, stop - start, band(bottom, top, 1.5))
        for bottom, top in ((90.0, 260.0), (300.0, 800.0), (1000.0, 2600.0))
    )
    phase = sample_cycles(
        lambda grid: (260.0 + 620.0 * source.at("rate", grid)) * octaves(source, 0.8),
        start,
        stop,
    )
    narrow = shaped_noise(generator, stop - start, band(1.0, 14.0, 2.0))
    turn = (2 * np.pi * np.remainder(phase, 1.0)).astype(np.float32)
    whistle = narrow * np.cos(turn)
    # A gust is not only louder: its spectrum climbs.
    return (0.08 + 0.92 * rate**1.3) * (
        0.6 * low + 0.7 * rate * middle + 0.6 * rate**2 * high + 0.55 * rate * whistle
    )


def _track_wind(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    track = _track(source, times)
    return {**track, "pitch_hz": (260.0 + 620.0 * track["rate"]) * octaves(source, 0.8)}


def _draw_wind(pen: Pen, source: Source, state: State) -> None:
    rate, time = state["rate"], state["time"]
    bend = 0.04 + 0.42 * rate + 0.02 * np.sin(11 * time) * rate
    pen.shadow(-0.2, 0.25)
    trunk = [(-0.25 + bend * s**1.8, 0.75 * s * (1 - 0.16 * rate * s)) for s in np.linspace(0, 1, 7)]
    pen.line(trunk, (104, 70, 44), 0.065)
    x, y = trunk[-1]
    leaf = mix(source.rgb, (70, 140, 60), 0.15)
    for clump in range(7):
        # The crown is a ball in still air and a banner in a gust.
        angle = 2 * np.pi * clump / 7
        stretch = 1.0 + 1.1 * rate
        cx = x + 0.14 * stretch * np.cos(angle) + 0.1 * rate
        cy = y + 0.14 / stretch * np.sin(angle) + 0.08 - 0.04 * rate
        pen.ellipse(
            cx,
            cy,
            0.15 * (0.8 + 0.3 * rate),
            0.13 * (1 - 0.3 * rate),
            mix(leaf, (255, 255, 255), 0.03 * clump),
        )
    for streak in range(round(10 * rate)):
        sx = (streak * GOLDEN + 1.3 * time) % 1.2 - 0.6
        sy = 0.1 + 0.88 * ((streak * 0.377) % 1.0)
        pen.line(
            [(sx, sy), (sx + 0.12 + 0.2 * rate, sy + 0.012)], faded((255, 255, 255), 0.55 + 0.3 * rate), 0.016
        )
    for flying in range(round(9 * rate)):
        fx = (flying * 0.377 + (0.5 + rate) * time) % 1.2 - 0.6
        fy = 0.15 + 0.7 * ((flying * GOLDEN) % 1.0) + 0.04 * np.sin(8 * time + flying)
        pen.ellipse(fx, fy, 0.03, 0.016, darker(leaf, 0.2))


WIND = foley_class("wind", _sample, _track_wind, _sound_wind, _draw_wind)

NUM_VOICES = 6
VOWELS = ((730.0, 1090.0), (530.0, 1840.0), (390.0, 1990.0), (570.0, 840.0), (440.0, 1020.0))


def _voice_hertz(source: Source, hertz: float, lilt: float, times: np.ndarray) -> np.ndarray:
    """The pitch of one voice: it sways ``lilt`` times a second and rises with the excitement."""
    sway = 0.12 * np.sin(2 * np.pi * lilt * times + hertz)
    return hertz * (1.0 + sway + 0.25 * source.at("rate", times))


def _sound_crowd(source: Source, start: int, stop: int) -> np.ndarray:
    generator = piece_generator(source, start)
    rate = _intensity(source, start, stop)
    seeded = np.random.default_rng(source.noise_seed)
    babble = np.zeros(stop - start, np.float32)
    for voice in range(NUM_VOICES):
        hertz = seeded.uniform(100.0, 260.0)
        formants = VOWELS[voice % len(VOWELS)]
        syllables = np.abs(shaped_noise(generator, stop - start, band(1.0, 4.0, 3.0)))
        lilt = seeded.uniform(0.3, 0.9)
        phase = sample_cycles(partial(_voice_hertz, source, hertz, lilt), start, stop)
        orders = np.arange(1, 13)
        gains = sum(np.exp(-(((orders * hertz - centre) / 160.0) ** 2)) for centre in formants) + 0.08
        babble += syllables * harmonics(phase, gains)
    hum = shaped_noise(generator, stop - start, band(250.0, 900.0, 1.0))
    cheer = shaped_noise(generator, stop - start, band(900.0, 3200.0, 1.0))
    return (0.25 + 0.5 * rate) * (0.22 * babble + 0.3 * hum) + 0.8 * rate**2 * cheer


def _draw_crowd(pen: Pen, source: Source, state: State) -> None:
    rate, time = state["rate"], state["time"]
    skins: tuple[Rgb, ...] = ((240, 200, 170), (205, 150, 110), (150, 100, 70), (105, 70, 50))
    for row in range(3):
        for seat in range(4):
            person = row * 4 + seat
            x = -0.44 + 0.29 * seat + (0.12 if row % 2 else 0.0) - 0.03
            jump = 0.06 * rate * abs(np.sin(7 * time + 2.1 * person))
            y = 0.52 - 0.22 * row + jump
            shirt = mix(source.rgb, ((230, 80, 70), (70, 120, 220), (240, 200, 70))[person % 3], 0.5)
            skin = skins[(person * 7 + int(4 * state["phase"])) % 4]
            pen.rectangle(x - 0.11, -0.02, x + 0.11, y + 0.03, shirt, darker(shirt), corner=0.05)
            if (person * GOLDEN) % 1.0 < rate:
                # The more excited, the more arms are up and the higher.
                for side in (-1, 1):
                    hand = (x + side * (0.15 - 0.03 * rate), y + 0.14 + 0.16 * rate)
                    pen.line([(x + side * 0.1, y - 0.02), hand], skin, 0.045)
            pen.ellipse(x, y + 0.1, 0.085, 0.1, skin, darker(skin))
            pen.pie(x, y + 0.12, 0.088, 180, 360, INK if person % 2 else (110, 74, 40))
            mouth = 0.006 + 0.04 * rate * (0.6 + 0.4 * np.sin(11 * time + person))
            pen.ellipse(x, y + 0.06, 0.03, mouth, (120, 20, 30))
    if rate > 0.75:
        for flake in range(round(60 * (rate - 0.6))):
            fx, fy = (flake * GOLDEN) % 1.0 - 0.5, 1.0 - (0.4 * time + flake * 0.377) % 0.9
            pen.rectangle(
                fx,
                fy,
                fx + 0.025,
                fy + 0.025,
                faded(lighter(((230, 80, 70), (70, 120, 220), (240, 200, 70))[flake % 3], 0.2), 1.0),
            )


def _track_crowd(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    return {**_track(source, times), "phase": np.full(len(times), source.motion.constants["phase"])}


CROWD = foley_class("crowd", _sample, _track_crowd, _sound_crowd, _draw_crowd)
