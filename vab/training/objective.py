"""What is trained."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch

from vab.shapes import Tensor


@runtime_checkable
class Objective(Protocol):
    """An ``nn.Module`` with a loss; everything random in it comes from ``generator``."""

    def __call__(self, batch: Any, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars to log, ``loss`` among them: the one to minimise."""
        ...

    def evaluate(self, batch: Any, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars of one validation batch, averaged over batches."""
        ...
