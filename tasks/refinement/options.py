"""Options of ``vab refine`` and ``vab evaluate refinement``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import positional, short
from vab.config import check_ranges


@dataclass(frozen=True)
class RefineOptions:
    """Coarse audio in, the same in all codebooks of its codec out: the fine ones are made anew.

    Takes audio, videos, or codes that this command wrote before; a video's frames help. Re-run to resume;
    a result that was made with other options is kept, and named.
    """

    inputs: list[Path] = positional()
    """Sound files, videos, or codes [K, S] as .npy."""
    output: Path = short("o", default=Path("out"))
    """Folder for the results."""
    weights: str = "demo"
    """'demo', a name that 'vab info' lists, or the .safetensors file of a coarse-to-fine stage or a model with one."""
    steps: int | None = None
    """Decoding steps; what is not given here is as the weights recommend."""
    cfg_scale: float | None = None
    """how closely the sound follows the frames, where there are any; 1 is none."""
    temperature: float | None = None
    """Noise on the confidence."""
    seed: int = 0
    """The same seed gives the same sound."""
    format: Literal["wav", "flac", "npy"] = "wav"
    """Sound, or with npy its codes."""
    device: str = "auto"
    """auto, cpu or cuda."""
    overwrite: bool = False
    """Make results again that are there already, whatever they were made with."""


@dataclass(frozen=True, kw_only=True)
class RefinementOptions:
    """What a coarse-to-fine stage gives back of what the coarse codebooks lose (paper table 15).

    True codes of held-out clips are heard in all codebooks, in the coarse ones alone, and in the coarse ones refined,
    and each is compared with the true sound. The sounds are kept; re-run to resume.
    """

    store: Path
    """Feature store with all codebooks, whose sources are still where they were."""
    weights: str = "demo"
    """'demo', a name that 'vab info' lists, or the .safetensors file of a coarse-to-fine stage or a model with one."""
    split: str = "test"
    """Clips to measure on."""
    clips: int | None = None
    """At most so many, the first; all by default."""
    steps: list[int] = field(default_factory=lambda: [24, 36])
    """Decoding steps to compare."""
    cfg_scale: float | None = None
    """Guidance; what is not given here is as the weights recommend."""
    temperature: float | None = None
    """Noise on the confidence."""
    seed: int = 0
    """Of the refined codes."""
    batch_size: int = 8
    """Clips a model pass."""
    output: Path = short("o", default=Path("out/refinement"))
    """Folder for the sounds and refinement.json."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(self, clips=(1, 10**6), steps=(1, 10**4), batch_size=(1, 10**5))
