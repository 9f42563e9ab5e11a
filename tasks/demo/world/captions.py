"""Words for a clip and for a single frame, from templates with synonyms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.demo.world.background import PLACES
from tasks.demo.world.classes import CLASSES
from tasks.demo.world.scene import FPS, Scene, Source

_OPENINGS = ("", "", "a picture of ", "a scene with ", "a drawing of ")
_JOINTS = (" and ", " next to ", " beside ")


def pick(generator: np.random.Generator, options: Sequence[str]) -> str:
    """One of ``options``, each as likely."""
    return options[int(generator.integers(len(options)))]


def article(words: str) -> str:
    """``words`` with "a" or "an" in front."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def thing_words(source: Source) -> str:
    """What the source is: size, colour, material and noun, with an article."""
    size = {0: "small ", 1: "", 2: "large "}[min(2, int(3 * source.size))]
    material = "" if source.material in ("lively", "bare") or source.name == "wind" else f"{source.material} "
    # No part of a fire has the colour drawn by lot; of bare hands only the sleeves, of a crowd some shirts.
    colourless = source.name in ("fire", "crowd") or source.material == "bare"
    colour = "" if colourless else f"{source.colour} "
    if source.name in ("hammer", "drip", "footstep", "sawing"):
        # The material is that of what is struck or cut, not of the thing itself.
        return article(f"{size}{colour}{source.noun}")
    if source.name == "pouring":
        return article(f"{size}{material}{source.noun} of {source.colour} water")
    return article(f"{size}{colour}{material}{source.noun}")


_UNDER = {
    "hammer": " on a {material} block",
    "drip": " over a {material} basin",
    "footstep": " on {material} ground",
    "sawing": " in a {material} bar",
}


def _under(source: Source) -> str:
    return _UNDER.get(source.name, "").format(material=source.material)


def clip_captions(
    sources: Sequence[Source], background: str, generator: np.random.Generator
) -> tuple[str, ...]:
    """Three captions of the whole clip: what sounds, in which place, what is heard off screen."""
    captions = []
    for _ in range(3):
        seen = [source for source in sources if source.on_screen]
        heard = [source for source in sources if not source.on_screen]
        parts = [
            f"{thing_words(source)} {pick(generator, CLASSES[source.name].actions)}{_under(source)}"
            for source in seen
        ]
        caption = pick(generator, _JOINTS).join(parts) + " " + pick(generator, PLACES[background])
        for source in heard:
            action = pick(generator, CLASSES[source.name].actions)
            caption += f", while {article(source.noun)} is heard {action} off screen"
        captions.append(caption)
    return tuple(captions)


def frame_captions(clip: Scene | dict[str, Any], time: float, generator: np.random.Generator) -> str:
    """A caption of the frame shown at ``time`` seconds: object, material, present state; only what is visible.

    ``clip`` is a scene, or its truth as read from JSON (which avoids computing the state again).
    """
    # Imported here: a scene's truth needs captions, and a caption only needs the truth.
    from tasks.demo.world.truth import source_from_truth, source_state

    sources: list[tuple[Source, dict[str, float]]]
    if isinstance(clip, Scene):
        at = np.array([time])
        background = clip.background
        sources = [
            (source, {key: float(value[0]) for key, value in source_state(source, at).items()})
            for source in clip.sources
        ]
    else:
        background = clip["background"]
        frame = min(int(time * FPS + 1e-6), clip["num_frames"] - 1)
        sources = [
            (source_from_truth(entry), {key: values[frame] for key, values in entry["state"].items()})
            for entry in clip["sources"]
        ]
    # A hammer's, a foot's and a dripping tap's states name the place themselves; a saw's do not.
    parts = [
        thing_words(source)
        + (_under(source) if source.name in ("sawing", "drip") else "")
        + " "
        + pick(generator, CLASSES[source.name].describe(source, state))
        for source, state in sources
        if source.on_screen
    ]
    caption = pick(generator, _OPENINGS) + pick(generator, _JOINTS).join(parts)
    if generator.random() < 0.5:
        caption += ", " + pick(generator, PLACES[background])
    return caption
