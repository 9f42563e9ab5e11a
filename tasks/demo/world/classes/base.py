"""The contract of a Foley class: how its motion is drawn by lot, heard, seen and put into words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from tasks.demo.world.pen import Pen
from tasks.demo.world.scene import Motion, Source

Kind = Literal["impact", "continuous", "texture"]
State = dict[str, float]
Sampler = Callable[[np.random.Generator, float], Motion]
Tracker = Callable[[Source, np.ndarray], dict[str, np.ndarray]]
WORDS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text())


@dataclass(frozen=True)
class FoleyClass:
    """Five functions and the words of one class.

    ``sample(generator, duration)`` draws the motion; ``track(source, times [T])`` gives the state, a dict of
    arrays [T]; ``sound(source, start, stop)`` gives samples [stop - start] at unit distance; ``draw`` paints
    one state; ``describe`` says what of it one can see, as alternatives that mean the same.
    ``nouns`` name the thing, ``actions`` what it does in the clip.
    """

    name: str
    kind: Kind
    nouns: tuple[str, ...]
    materials: tuple[str, ...]
    actions: tuple[str, ...]
    sample: Sampler
    track: Tracker
    sound: Callable[[Source, int, int], np.ndarray]
    draw: Callable[[Pen, Source, State], None]
    describe: Callable[[Source, State], Sequence[str]]


def foley_class(
    name: str,
    sample: Sampler,
    track: Tracker,
    sound: Callable[[Source, int, int], np.ndarray],
    draw: Callable[[Pen, Source, State], None],
    describe: Callable[[Source, State], Sequence[str]] | None = None,
) -> FoleyClass:
    """The class ``name`` with its words of ``words.yaml``; without ``describe``, those of its striker or its bins."""
    words = WORDS[name]
    nouns, materials, actions = (tuple(words[key]) for key in ("nouns", "materials", "actions"))
    say = describe or partial(striker_words if "striker" in words else _say_bins, name)
    return FoleyClass(name, words["kind"], nouns, materials, actions, sample, track, sound, draw, say)


def _say_bins(name: str, source: Source, state: State) -> tuple[str, ...]:
    filled = {key: bin_words(name, key, state) for key in WORDS[name]["bins"]}
    return tuple(template.format_map(filled) for template in WORDS[name]["says"])


def bin_words(name: str, key: str, state: State) -> str:
    """The words of the bin that the state falls in; one more than there are edges."""
    bins = WORDS[name]["bins"][key]
    return _pick(state[bins["of"]], bins["edges"], bins["words"])


def _pick(value: float, edges: Sequence[float], words: Sequence[str]) -> str:
    return words[int(np.searchsorted(edges, value, side="right"))]


def striker_words(name: str, source: Source, state: State, **names: str) -> tuple[str, ...]:
    """What one sees of a striker: where it is, and the trace of its last impact; ``names`` fill its templates."""
    words = WORDS[name]["striker"]
    if min(state["since"], state["until"]) < 0.022:
        return (words["contact"].format_map(names),)
    # Height alone says where it is; which way it goes only shows by its motion blur.
    place = _pick(state["distance"], (0.25, 0.55, 0.85), words["distances"]).format_map(names)
    if state["velocity"] < -2.0:
        place += ", coming down fast"
    if state["since"] < 0.36:
        trace = _pick(state["since"], (0.10, 0.22), words["traces"]).format_map(names)
        return (f"{place}, with {trace}", f"{place} and {trace}")
    return (place,)
