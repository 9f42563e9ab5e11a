"""Impacts that play a pitch: pressed keys and plucked strings, where the place one sees sets the note."""

from collections.abc import Callable
from functools import partial

import numpy as np

from tasks.demo.world.classes.base import State, foley_class, striker_words
from tasks.demo.world.pen import INK, Pen, Rgb, darker, faded, lighter, mix
from tasks.demo.world.scene import Source
from tasks.demo.world.synthesis import strikes, struck_pitches, thud
from tasks.demo.world.timeline import FAR_SECONDS, sample_events, striker_track, trace_age

NUM_KEYS = 5
NUM_STRINGS = 4
# A key is let go as it is seen to rise; its damper ends the note.
HELD_SECONDS = 0.15
# Five keys of a pentatonic scale, four strings in fourths.
KEY_RATIOS = tuple(2 ** (semitones / 12) for semitones in (0, 3, 5, 7, 10))
STRING_RATIOS = tuple(2 ** (semitones / 12) for semitones in (0, 5, 10, 15))
HAND: Rgb = (226, 178, 142)

_sample_keys = partial(sample_events, num_values=NUM_KEYS)
_sample_strings = partial(sample_events, num_values=NUM_STRINGS)
_key_pitches = partial(struck_pitches, hertz=240.0, ratios=KEY_RATIOS)
_string_pitches = partial(struck_pitches, hertz=165.0, ratios=STRING_RATIOS)


def _track_pitched(
    source: Source, times: np.ndarray, *, pitches_of: Callable[[Source], list[float]]
) -> dict[str, np.ndarray]:
    track = striker_track(source, times)
    pitches = np.array(pitches_of(source))
    return {**track, "pitch_hz": np.where(track["strength"] > 0, pitches[track["value"].astype(int)], 0.0)}


_track_keys = partial(_track_pitched, pitches_of=_key_pitches)
_track_strings = partial(_track_pitched, pitches_of=_string_pitches)


def _draw_keys(pen: Pen, source: Source, state: State) -> None:
    wide = 1.04 / NUM_KEYS
    pen.shadow(0.0, 0.6)
    pen.rectangle(-0.56, 0.0, 0.56, 0.52, darker(source.rgb, 0.3), INK, corner=0.03)
    age = trace_age(state)
    ivory = {"piano": (248, 246, 238), "toy": lighter(source.rgb, 0.55)}.get(source.material, (70, 72, 80))
    pressed = max(0.0, 1.0 - state["since"] / HELD_SECONDS) if state["since"] < 1.0 else 0.0
    for key in range(NUM_KEYS):
        left = -0.52 + key * wide
        fill, sink = ivory, 0.0
        if key == state["value"] and state["strength"] > 0:
            sink = 0.05 * pressed
            if age is not None:
                fill = mix((255, 140, 0), ivory, age)
        if source.material == "typewriter":
            pen.ellipse(left + wide / 2, 0.26 - sink, 0.45 * wide, 0.14, fill, (215, 215, 220), 0.02)
        else:
            pen.rectangle(left + 0.008, 0.04 - sink, left + wide - 0.008, 0.48 - sink, fill, INK, corner=0.02)
    if age is not None:
        pen.ring(-0.52 + (state["value"] + 0.5) * wide, 0.3, age, 0.3, (255, 170, 40), squeeze=0.6)
    # The finger is over the key it will press; just after, still over the one it pressed.
    held = state["until"] >= FAR_SECONDS or (state["since"] < 0.12 and state["strength"] > 0)
    target = state["value"] if held else state["next_value"]
    x, y = -0.52 + (target + 0.5) * wide, 0.3 + 0.4 * state["distance"]
    if abs(state["velocity"]) > 1.5:
        for ghost in (2, 1):
            behind = y - 0.4 * state["velocity"] * 0.014 * ghost
            pen.ellipse(x, behind + 0.08, 0.07, 0.09, faded(HAND, 0.4 - 0.12 * ghost))
    pen.line([(x, y + 0.08), (x + 0.05, y + 0.34)], darker(HAND), 0.15)
    pen.line([(x, y + 0.08), (x + 0.05, y + 0.34)], HAND, 0.125)
    pen.ellipse(x, y + 0.075, 0.0625, 0.075, HAND)
    pen.ellipse(x + 0.07, y + 0.4, 0.19, 0.13, HAND, darker(HAND))
    pen.ellipse(x, y + 0.05, 0.035, 0.035, (250, 215, 200))


def _sound_keys(source: Source, start: int, stop: int) -> np.ndarray:
    return strikes(source, start, stop, _key_pitches(source), held=HELD_SECONDS)


def _describe_keys(source: Source, state: State) -> tuple[str, ...]:
    places = ("leftmost", "second", "middle", "fourth", "rightmost")
    lit = places[int(state["value"])]
    return striker_words("key_press", source, state, lit=lit)


KEY_PRESS = foley_class("key_press", _sample_keys, _track_keys, _sound_keys, _draw_keys, _describe_keys)


def _draw_strings(pen: Pen, source: Source, state: State) -> None:
    body = mix(source.rgb, (160, 96, 48), 0.12)
    pen.shadow(0.0, 0.55)
    pen.rectangle(-0.58, 0.02, 0.58, 0.74, body, darker(body, 0.5), corner=0.14)
    pen.ellipse(-0.16, 0.38, 0.2, 0.24, darker(body, 0.7), lighter(body), 0.02)
    for x in (-0.52, 0.52):
        pen.rectangle(x - 0.03, 0.1, x + 0.03, 0.66, darker(body, 0.6))
    thread: Rgb = (235, 238, 245) if source.material == "steel" else (250, 232, 190)
    age = trace_age(state)
    for string in range(NUM_STRINGS):
        y = 0.17 + 0.14 * string
        if string == state["value"] and state["strength"] > 0 and state["since"] < 0.7:
            # A string that swings faster than the shutter is a band as wide as its swing.
            swing = 0.085 * (0.4 + 0.6 * state["strength"]) * np.exp(-state["since"] / 0.22)
            xs = np.linspace(-0.5, 0.5, 13)
            shape = swing * np.cos(np.pi * xs)
            upper = list(zip(xs, y + shape, strict=True))
            lower = list(zip(xs[::-1], y - shape[::-1], strict=True))
            glow = mix((255, 245, 120), thread, age if age is not None else 1.0)
            pen.polygon(upper + lower, faded(glow, 0.6))
            pen.line(upper, glow, 0.012)
            pen.line(lower, glow, 0.012)
        else:
            pen.line([(-0.5, y), (0.5, y)], thread, 0.016)
    if age is not None:
        pen.ring(0.15, 0.17 + 0.14 * state["value"], age, 0.3, (255, 245, 120), squeeze=0.7)
    held = state["until"] >= FAR_SECONDS or (state["since"] < 0.1 and state["strength"] > 0)
    target = state["value"] if held else state["next_value"]
    x, y = 0.15 + 0.1 * state["distance"], 0.17 + 0.14 * target + 0.34 * state["distance"]
    if abs(state["velocity"]) > 1.5:
        for ghost in (2, 1):
            pen.ellipse(
                x, y + 0.06 - 0.34 * state["velocity"] * 0.014 * ghost, 0.06, 0.07, faded((60, 60, 70), 0.3)
            )
    pen.line([(x + 0.09, y + 0.16), (x + 0.4, y + 0.42)], HAND, 0.17)
    pen.ellipse(x + 0.09, y + 0.17, 0.12, 0.11, HAND, darker(HAND))
    pen.polygon([(x, y), (x - 0.07, y + 0.13), (x + 0.09, y + 0.13)], (225, 50, 60), INK)


def _sound_strings(source: Source, start: int, stop: int) -> np.ndarray:
    body = 0.5 * thud((108.0, 205.0), 0.3)
    return strikes(source, start, stop, _string_pitches(source), body)


def _describe_strings(source: Source, state: State) -> tuple[str, ...]:
    places = ("lowest", "second", "third", "highest")
    ringing = places[int(state["value"])]
    return striker_words("pluck", source, state, ringing=ringing)


PLUCK = foley_class(
    "pluck", _sample_strings, _track_strings, _sound_strings, _draw_strings, _describe_strings
)
