"""How the codebooks of a codec step are laid out over the columns that an autoregressive model writes one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from vab.shapes import Int, Num, Tensor

PatternName = Literal["parallel", "delay", "flattened"]
"""All codebooks of a step in one column; codebook k a step later than codebook k - 1; one code a column."""

PAD = -1
"""In place of a step where a column has no code of a codebook."""


@dataclass(frozen=True)
class Pattern:
    """Which code stands where, as data (Copet et al. 2023, section 2.2)."""

    steps: Int[Tensor, "K T"]
    """Codec step of each codebook in each column; ``PAD`` where there is none."""
    newest: Int[Tensor, " T"]
    """Codec step that a column begins to write; in the columns that only finish earlier steps it passes the last."""
    columns_per_step: int
    """Columns in the time of one step."""

    @classmethod
    def of(cls, name: PatternName, num_codebooks: int, num_steps: int) -> Pattern:
        """The columns of so many steps: S of parallel, S + K - 1 of delay, S K of flattened."""
        codebook = torch.arange(num_codebooks)[:, None]
        per_step = num_codebooks if name == "flattened" else 1
        extra = num_codebooks - 1 if name == "delay" else 0
        column = torch.arange(num_steps * per_step + extra)
        newest = column // per_step
        if name == "flattened":
            steps = torch.where(column % num_codebooks == codebook, newest, PAD)
        else:
            steps = column - (codebook if name == "delay" else 0 * codebook)
            steps = torch.where((steps >= 0) & (steps < num_steps), steps, PAD)
        return cls(steps, newest, per_step)

    @property
    def num_columns(self) -> int:
        """T."""
        return self.steps.shape[1]

    def lay(self, values: Num[Tensor, "B K S"], pad: int) -> Num[Tensor, "B K T"]:
        """Codes, or a number of each, in columns; ``pad`` where there is none."""
        steps = self.steps.to(values.device)
        laid = values.gather(2, steps.clamp_min(0).expand(len(values), -1, -1))
        return laid.masked_fill(steps == PAD, pad)

    def gather(self, laid: Tensor) -> Tensor:
        """What stands in columns [B, K, T, ...] back in steps [B, K, S, ...]."""
        columns = (self.steps != PAD).nonzero()[:, 1]
        # Row by row the columns of a codebook rise with its steps, and every codebook has all of them.
        columns = columns.unflatten(0, (len(self.steps), -1)).to(laid.device)
        rows = torch.arange(len(self.steps), device=laid.device)[:, None]
        return laid[:, rows, columns]
