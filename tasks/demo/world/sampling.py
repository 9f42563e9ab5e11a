"""From a seed to a scene: which things stand where, how they move, and what they look like."""

import numpy as np

from tasks.demo.world.background import MAX_DRIFT, PLACES, SHAPES
from tasks.demo.world.captions import clip_captions
from tasks.demo.world.classes import CLASSES
from tasks.demo.world.pen import Rgb
from tasks.demo.world.scene import FPS, SPLITS, Distractor, Scene, Source
from tasks.demo.world.truth import clip_name
from vab.errors import ConfigError

TWO_SOURCES_SHARE = 0.15
OFF_SCREEN_SHARE = 0.04
FARTHEST = 1.8

# Background seeds are dealt to the splits by their remainder, so that no place is seen in two of them.
_SEED_LANES = 20
_LANES: dict[str, tuple[int, ...]] = {"train": tuple(range(18)), "validation": (18,), "test": (19,)}

COLOURS: dict[str, Rgb] = {
    "red": (214, 48, 46),
    "orange": (240, 134, 32),
    "yellow": (244, 206, 50),
    "green": (58, 158, 74),
    "turquoise": (40, 176, 176),
    "blue": (46, 98, 210),
    "purple": (132, 66, 176),
    "pink": (238, 126, 176),
    "white": (240, 240, 238),
    "black": (52, 50, 56),
    "brown": (136, 88, 54),
    "grey": (140, 144, 150),
}


def sample_scene(seed: int, split: str, index: int, duration: float = 10.0) -> Scene:
    """The scene of clip ``index`` of ``split``: a function of its arguments only.

    ``duration`` is in seconds, 0.5 or more, and is rounded to whole frames. Raises :class:`ConfigError` on an
    unknown split or a shorter clip.
    """
    if split not in SPLITS:
        raise ConfigError(f"split {split!r} is unknown; Foley world has {', '.join(SPLITS)}")
    if duration < 0.5:
        raise ConfigError(f"a clip of {duration} s is too short for an event; ask for 0.5 s or more")
    generator = np.random.default_rng([seed, SPLITS.index(split), index])
    duration = round(duration * FPS) / FPS
    # Classes take turns, so that every split holds each of them equally often.
    names = list(CLASSES)
    first = names[index % len(names)]
    lot = generator.random()
    two_seen = lot < TWO_SOURCES_SHARE
    one_hidden = not two_seen and lot < TWO_SOURCES_SHARE + OFF_SCREEN_SHARE
    chosen = [first]
    if two_seen or one_hidden:
        chosen.append(str(generator.choice([name for name in names if name != first])))
    sources = tuple(
        _sample_source(
            generator, name, duration, place, crowded=two_seen, on_screen=not (one_hidden and place == 1)
        )
        for place, name in enumerate(chosen)
    )
    background = str(generator.choice(list(PLACES)))
    lane = int(generator.choice(_LANES[split]))
    frequencies, phases = generator.uniform(0.04, 0.22, 2), generator.uniform(0, 2 * np.pi, 2)
    amplitudes = generator.uniform(0.0, MAX_DRIFT, 2)
    across, along = (
        (float(a), float(f), float(p)) for a, f, p in zip(amplitudes, frequencies, phases, strict=True)
    )
    return Scene(
        clip_id=clip_name(seed, split, index),
        seed=seed,
        split=split,
        index=index,
        duration=duration,
        background=background,
        background_seed=int(generator.integers(2**40)) * _SEED_LANES + lane,
        camera=(across, along),
        distractors=tuple(_sample_distractor(generator) for _ in range(int(generator.integers(0, 4)))),
        sources=sources,
        captions=clip_captions(sources, background, generator),
    )


def _sample_source(
    generator: np.random.Generator, name: str, duration: float, place: int, crowded: bool, on_screen: bool
) -> Source:
    foley = CLASSES[name]
    colour = str(generator.choice(list(COLOURS)))
    shade = np.clip(
        np.array(COLOURS[colour]) * generator.uniform(0.88, 1.1) + generator.normal(0, 6, 3), 0, 255
    )
    distance = float(generator.uniform(1.0, FARTHEST))
    # The further, the smaller; half of a frame leaves room for one of two things only.
    near = 0.86 if not crowded else 0.58
    scale = near / (0.72 + 0.28 * distance)
    middle = 0.5 if not crowded else (0.27, 0.73)[place]
    reach = 0.07 if not crowded else 0.02
    return Source(
        name=name,
        kind=foley.kind,
        noun=foley.nouns[int(generator.integers(len(foley.nouns)))],
        material=foley.materials[int(generator.integers(len(foley.materials)))],
        colour=colour,
        rgb=(int(shade[0]), int(shade[1]), int(shade[2])),
        size=float(generator.random()),
        distance=distance,
        x=float(middle + generator.uniform(-reach, reach)),
        base=float(generator.uniform(0.86, 0.94) - 0.05 * (distance - 1.0)),
        scale=float(scale),
        on_screen=on_screen,
        noise_seed=int(generator.integers(2**62)),
        motion=foley.sample(generator, duration),
    )


def _sample_distractor(generator: np.random.Generator) -> Distractor:
    shape = str(generator.choice(SHAPES))
    shade = COLOURS[str(generator.choice(list(COLOURS)))]
    flies = shape in ("balloon", "bird")
    return Distractor(
        shape=shape,
        rgb=shade,
        x=float(generator.uniform(0.05, 0.95)),
        y=float(generator.uniform(0.15, 0.4) if flies else generator.uniform(0.76, 0.88)),
        scale=float(generator.uniform(0.1, 0.2)),
        drift=float(generator.uniform(0.02, 0.12)) if flies else 0.0,
        phase=float(generator.uniform(0, 2 * np.pi)),
    )
