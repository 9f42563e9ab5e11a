"""Options of the ``vab evaluate`` verbs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.options import short


@dataclass(frozen=True, kw_only=True)
class TokensOptions:
    """Masked-token accuracy and loss by codec level, with the frames and without them: the gap is what vision adds.

    Measured with all codes hidden, as generation begins, and by the ratios of the paper's pretraining with fixed seeds.
    """

    store: Path
    """Feature store, made with the codec and encoder of the weights."""
    weights: str = "demo"
    """'demo', a name that 'vab info' lists, or a model's .safetensors file."""
    split: str = "test"
    """Clips to measure on."""
    batch_size: int = 16
    """Clips a model pass."""
    seed: int = 0
    """Of the masks."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers and what they were measured on."""
    device: str = "auto"
    """auto, cpu or cuda."""
