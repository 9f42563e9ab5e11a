"""Options of ``vab layout``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.options import positional, short


@dataclass(frozen=True)
class LayoutOptions:
    """Write the audio layout of a video, as a model predicts it, or of a sound, as it is.

    A layout says when and how high something sounds: rows of numbers from 0, silence, to 1, low frequencies first. Edit
    it, and 'vab generate --layout' makes the sound that follows it; that of another sound transfers its rhythm.
    """

    inputs: list[Path] = positional(default_factory=list)
    """One video, of which the layout is predicted."""
    audio: Path | None = None
    """A sound or a video with one, of which the layout is made, instead of a video."""
    output: Path = short("o", default=Path("layout.json"))
    """A .json, to edit and to follow, or a .png, to look at."""
    weights: str = "demo-tiva"
    """Weights that predict the layout of a video: 'demo-tiva', or a .safetensors file."""
    rate: float = 10.0
    """Rows a second of the layout of a sound."""
    bands: int = 5
    """Numbers in a row of the layout of a sound."""
    duration: float | None = None
    """Seconds to do, from the start; all by default."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        if len(self.inputs) + (self.audio is not None) != 1:
            raise ValueError("give one video, or --audio with a sound")
        if self.output.suffix.lower() not in (".json", ".png"):
            raise ValueError(f"{self.output}: a layout is written as .json or .png")
        if self.duration is not None and self.duration <= 0:
            raise ValueError(f"--duration must be above 0, not {self.duration:g}")
