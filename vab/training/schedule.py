"""The learning rate over a training."""

from __future__ import annotations

import math

from vab.training.options import TrainingOptions


def share_of_peak(step: int, options: TrainingOptions) -> float:
    """Share of the peak learning rate at a step: linear from 0 to 1 over the warm-up, then by ``options.schedule``."""
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    progress = min(1.0, (step - options.warmup_steps) / max(1, options.max_steps - options.warmup_steps))
    match options.schedule:
        case "cosine":
            share = 0.5 * (1 + math.cos(math.pi * progress))
        case "polynomial":
            share = (1 - progress) ** options.polynomial_power
        case "constant":
            return 1.0
    final = options.final_learning_rate / (options.learning_rate or 1.0)
    return final + (1 - final) * share
