"""Options of ``vab generate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.options import positional, short


@dataclass(frozen=True)
class GenerateOptions:
    """Give videos their sound: a silent video in, the same video with a fitting soundtrack out.

    The picture is copied untouched; the sound is exactly as long. A folder or pattern is done in batches, and a run
    that was stopped goes on where it was. Beside each result a JSON says how it was made.
    """

    inputs: list[str] = positional()
    """Videos, folders of videos, or glob patterns."""
    output: Path = short("o", default=Path("out"))
    """Folder for the results, or a file name for a single one."""
    weights: str = "demo"
    """'demo', a name that 'vab info' lists, or a model's .safetensors file."""
    steps: int | None = None
    """Decoding steps; more is slower. What is not given here is as the weights recommend."""
    cfg_scale: float | None = None
    """Classifier-free guidance: how closely the sound follows the video; 1 is none."""
    temperature: float | None = None
    """Noise on the confidence: higher varies more, lower is surer."""
    seed: int = 0
    """The same seed gives the same sound; sample i of several uses seed + i."""
    num_samples: int = 1
    """Different soundtracks for each video."""
    select: Literal["agreement", "synchrony"] | None = None
    """Keep one of the soundtracks: that whose sound and pictures agree best, or that which is least early or late; the
    latter needs --synchformer."""
    select_weights: str = "demo-search"
    """Weights of 'vab adapt' by which --select agreement judges."""
    synchformer: str | None = None
    """'synchformer', downloaded once, or its file, by which --select synchrony judges; slow without a GPU; its weights
    come from others under CC-BY-NC 4.0, not for commercial use."""
    duration: float | None = None
    """Seconds of each video to do, from its start; all of it by default."""
    audio_only: Literal["wav", "flac"] | None = None
    """Write the sound alone, in this format, instead of a video."""
    no_mux: bool = False
    """The same as --audio-only wav."""
    batch_size: int = 8
    """Clips a model pass."""
    device: str = "auto"
    """auto, cpu or cuda."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic: auto is bfloat16 on a GPU and float32 on a CPU."""
    overwrite: bool = False
    """Make results again that are there already."""
