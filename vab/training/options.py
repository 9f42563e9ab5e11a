"""Settings every training shares: optimiser, schedule, precision, logging, checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vab.config import check_ranges


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; what is trained is the objective's business (paper table 8 gives the paper's values)."""

    max_steps: int
    """Optimiser steps in all."""
    batch_size: int = 60
    """Clips a batch in each process: one, or those that ``torchrun`` starts, a GPU each."""
    accumulate: int = 1
    """Batches of each process whose gradients are averaged into one step: four processes with 1 learn as one with 4."""
    learning_rate: float = 2e-4
    """Peak, reached after the warm-up."""
    warmup_steps: int = 0
    """Steps of linear rise."""
    schedule: Literal["cosine", "polynomial", "constant"] = "cosine"
    """After the warm-up: half a cosine or a polynomial that falls to final_learning_rate at max_steps, or the peak all
    along."""
    final_learning_rate: float = 0.0
    """Where cosine and polynomial end."""
    polynomial_power: float = 1.0
    """Of the polynomial; 1 is a straight line."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's averages."""
    weight_decay: float = 1e-5
    """AdamW's decoupled decay."""
    gradient_clip: float = 1.0
    """Largest gradient norm; 0 does not clip."""
    precision: Literal["32", "bf16"] = "bf16"
    """Arithmetic of the forward pass; weights and optimiser stay in 32 bits."""
    compile: bool = False
    """Compile the model's blocks: on a GPU fewer passes through its memory, after a minute; needs a C compiler."""
    ema_decay: float = 0.0
    """Moving average of the weights, used for validation and export; 0 keeps none."""
    seed: int = 0
    """Of initialisation, data order, augmentation and masks."""
    num_workers: int = 0
    """Processes that read data; a memory-mapped store needs none."""
    log_every: int = 10
    """Steps between two rows of the loss curve."""
    validate_every: int = 500
    """Steps between two validations."""
    checkpoint_every: int = 500
    """Steps between two checkpoints; a killed run resumes at the last."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            max_steps=(1, 10**9),
            batch_size=(1, 2**14),
            accumulate=(1, 10**4),
            learning_rate=(0, 100),
            final_learning_rate=(0, 100),
            warmup_steps=(0, 10**9),
            weight_decay=(0, 100),
            gradient_clip=(0, 1e9),
            ema_decay=(0, 1 - 1e-9),
            seed=(0, 2**63 - 1),
            num_workers=(0, 256),
            log_every=(1, 10**9),
            validate_every=(1, 10**9),
            checkpoint_every=(1, 10**9),
        )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), not {self.betas}")


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
