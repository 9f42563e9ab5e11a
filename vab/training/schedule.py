"""The learning rate over a training."""

from __future__ import annotations

import math


def cosine_with_warmup(step: int, warmup_steps: int, max_steps: int) -> float:
    """Share of the peak learning rate at a step: linear from 0 to 1, then half a cosine to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, max_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
