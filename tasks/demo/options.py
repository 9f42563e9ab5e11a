"""Options of ``vab demo`` and its two helpers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.options import short


@dataclass(frozen=True)
class DemoOptions:
    """Hear it work in under a minute, with no network: a silent clip that no training has seen gets its sound.

    Writes the clip with the generated sound and a picture of both, and says what it did and where the files are.
    """

    output: Path = short("o", default=Path("out/demo"))
    """Folder for the results."""
    seed: int = 0
    """Another seed, another sound."""


@dataclass(frozen=True)
class CorpusOptions:
    """Render Foley world: short videos of things that sound, with every event's time known.

    Splits of 90, 5 and 5 per cent, of disjoint scenes. A seed gives the same corpus; a run that was stopped goes on.
    """

    clips: int = 200
    """Clips in all."""
    seed: int = 0
    """Another seed, other scenes."""
    duration: float = 10.0
    """Seconds a clip."""
    workers: int = 2
    """Processes that render."""
    output: Path = short("o", default=Path("out/foley"))
    """Folder for the videos, their sidecars and manifest.csv."""


@dataclass(frozen=True)
class TrainOptions:
    """Make the bundled weights from nothing: corpus, codec, visual tower, features, VAB.

    Each stage is skipped where its result is there, and resumed where it was stopped. The full run takes about two
    hours on two cores; --quick takes minutes and proves the path.
    """

    output: Path = short("o", default=Path("out/bundle"))
    """Folder for all stages; the weights end up in its folder 'bundle'."""
    quick: bool = False
    """A few steps of everything on a few clips."""
    seed: int = 0
    """Of corpus and training."""
    workers: int = 2
    """Processes that render and decode."""
    device: str = "auto"
    """auto, cpu or cuda."""
