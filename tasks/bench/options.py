"""Options of ``vab bench model``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.options import positional


@dataclass(frozen=True, kw_only=True)
class BenchModelOptions:
    """Build a configuration's model with random weights and time it: parameters, a training step, a generation."""

    configs: list[Path] = positional()
    """Files of configs/vab."""
    batch_size: int = 1
    """Clips in the training step and in the generation."""
    seconds: float = 10.0
    """Length of a clip."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic."""
    device: str = "auto"
    """auto, cpu or cuda."""
