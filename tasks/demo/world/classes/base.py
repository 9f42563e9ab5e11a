"""The contract of a Foley class: how its motion is drawn by lot, heard, seen and put into words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.demo.world.pen import Pen
from tasks.demo.world.scene import Motion, Source

Kind = Literal["impact", "continuous", "texture"]
State = dict[str, float]


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
    sample: Callable[[np.random.Generator, float], Motion]
    track: Callable[[Source, np.ndarray], dict[str, np.ndarray]]
    sound: Callable[[Source, int, int], np.ndarray]
    draw: Callable[[Pen, Source, State], None]
    describe: Callable[[Source, State], Sequence[str]]


def pick_bin(value: float, edges: Sequence[float], words: Sequence[str]) -> str:
    """The word of the bin that ``value`` falls in; one more word than edges."""
    return words[int(np.searchsorted(edges, value, side="right"))]


def octaves(source: Source, span: float = 1.2) -> float:
    """The factor on pitch that a source's size makes: large is low, ``span`` octaves in all."""
    return float(2.0 ** (span * (0.5 - source.size)))


def striker_words(
    state: State, distances: Sequence[str], traces: Sequence[str], contact: str
) -> tuple[str, ...]:
    """What one sees of a striker: where it is, and the trace of its last impact.

    ``distances`` are four phrases from just off to fully away, ``traces`` three from fresh to faded.
    """
    if min(state["since"], state["until"]) < 0.022:
        return (contact,)
    # Height alone says where it is; which way it goes only shows by its motion blur.
    words = pick_bin(state["distance"], (0.25, 0.55, 0.85), distances)
    if state["velocity"] < -2.0:
        words += ", coming down fast"
    if state["since"] < 0.36:
        trace = pick_bin(state["since"], (0.10, 0.22), traces)
        return (f"{words}, with {trace}", f"{words} and {trace}")
    return (words,)
