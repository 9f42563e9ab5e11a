"""When things happen: irregular events, wandering curves, and the state of a moving striker at any time."""

from collections.abc import Callable

import numpy as np

from tasks.demo.world.scene import Curve, Motion, Source

# A striker falls within the shortest gap, so that every approach is seen whole.
FALL_SECONDS = 0.24
RISE_SECONDS = 0.12
TRACE_SECONDS = 0.36
# "Never yet" and "never again", finite so that a truth stays plain JSON.
FAR_SECONDS = 9.0
# Finite difference over half a frame: what motion blur at 25 fps would show.
BLUR_SECONDS = 0.02


def irregular_events(
    generator: np.random.Generator,
    duration: float,
    shortest: float = 0.25,
    longest: float = 1.5,
    pause_share: float = 0.06,
) -> tuple[np.ndarray, np.ndarray]:
    """Times [E] and strengths [E] in (0.35, 1] of events whose gaps no rhythm predicts.

    Gaps are beta-distributed on [shortest, longest] seconds with a shape drawn for the clip (so clips are
    busy or sparse) and a few pauses of up to 2.5 s. There is at least one event, none in the last 40 ms.
    """
    shape = generator.uniform(0.7, 1.6, size=2)
    count = int(np.ceil(duration / shortest)) + 1
    gaps = shortest + (longest - shortest) * generator.beta(shape[0], shape[1] + 0.4, size=count)
    pauses = generator.random(count) < pause_share
    gaps = np.where(pauses, generator.uniform(longest, 2.5, size=count), gaps)
    first = generator.uniform(0.12, min(0.9, 0.7 * duration))
    times = first + np.concatenate([[0.0], np.cumsum(gaps)])
    times = times[times < max(duration - 0.04, first + 1e-6)]
    strengths = 0.35 + 0.65 * generator.beta(1.6, 1.1, size=len(times))
    return times, strengths


def sample_events(generator: np.random.Generator, duration: float, num_values: int = 1) -> Motion:
    """:func:`irregular_events`, each with a value below ``num_values``."""
    times, strengths = irregular_events(generator, duration)
    shape = len(times)
    values = np.zeros(shape) if num_values == 1 else generator.integers(num_values, size=shape).astype(float)
    return Motion(times, strengths, values)


def wander(
    generator: np.random.Generator, duration: float, shortest: float = 0.7, longest: float = 2.2
) -> Curve:
    """A curve in [0, 1] that keeps moving: control points some seconds apart, each well off the last."""
    count = int(np.ceil(duration / shortest)) + 2
    times = np.concatenate([[0.0], np.cumsum(generator.uniform(shortest, longest, size=count))])
    steps = generator.uniform(0.25, 0.75, size=count)
    values = np.empty(count + 1)
    values[0] = generator.random()
    for index, step in enumerate(steps):
        # Reflected at the ends of [0, 1], so that no value is favoured.
        sign = 1.0 if generator.random() < 0.5 else -1.0
        moved = values[index] + sign * step
        values[index + 1] = moved if 0.0 <= moved <= 1.0 else values[index] - sign * step
    keep = int(np.searchsorted(times, duration)) + 1
    return Curve(times[:keep], np.clip(values[:keep], 0.0, 1.0))


def sample_rate(
    generator: np.random.Generator, duration: float, shortest: float = 0.7, longest: float = 2.2
) -> Motion:
    """A rate that :func:`wander`s, and a phase."""
    rate = wander(generator, duration, shortest, longest)
    return Motion(curves={"rate": rate}, constants={"phase": generator.random()})


def around_events(source: Source, times: np.ndarray) -> dict[str, np.ndarray]:
    """For each of ``times`` [T]: seconds since the last and until the next event, and those events' strength.

    Keys ``since``, ``until`` (at most ``FAR_SECONDS``), ``strength``, ``value`` (of the last event, 0 before
    the first), ``next_strength``, ``next_value`` (0 after the last); each [T].
    """
    motion = source.motion
    events = motion.event_times
    padded = np.concatenate([[-np.inf], events, [np.inf]])
    strengths = np.concatenate([[0.0], motion.event_strengths, [0.0]])
    values = np.concatenate([[0.0], motion.event_values, [0.0]])
    last = np.searchsorted(events, times, side="right")
    return {
        "since": np.minimum(times - padded[last], FAR_SECONDS),
        "until": np.minimum(padded[last + 1] - times, FAR_SECONDS),
        "strength": strengths[last],
        "value": values[last],
        "next_strength": strengths[last + 1],
        "next_value": values[last + 1],
    }


def striker_distance(source: Source, times: np.ndarray) -> np.ndarray:
    """Distance to contact [T] in [0, 1] of something that strikes at each event: 0 touches, 1 is at rest.

    Before an event it falls with constant acceleration; after it, it springs back.
    """
    around = around_events(source, times)
    fallen = np.clip((FALL_SECONDS - around["until"]) / FALL_SECONDS, 0.0, 1.0)
    risen = 1.0 - np.exp(-around["since"] / RISE_SECONDS)
    return np.minimum(1.0 - fallen**2, risen)


def striker_track(
    source: Source,
    times: np.ndarray,
    distance_at: Callable[[Source, np.ndarray], np.ndarray] = striker_distance,
) -> dict[str, np.ndarray]:
    """State [T] of a striker: :func:`around_events` with ``distance``, ``velocity`` (per second) and ``level``.

    ``velocity`` is below 0 while it falls; ``level`` in [0, 1] is how strongly the last event still rings.
    """
    around = around_events(source, times)
    distance = distance_at(source, times)
    return {
        **around,
        "distance": distance,
        "velocity": (distance - distance_at(source, times - BLUR_SECONDS)) / BLUR_SECONDS,
        "level": around["strength"] * np.exp(-around["since"] / 0.15),
    }


def trace_age(state: dict[str, float]) -> float | None:
    """Age in [0, 1) of the visible trace of the last event, or None when it has faded."""
    age = state["since"] / TRACE_SECONDS
    return age if age < 1.0 else None
