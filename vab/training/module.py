"""The one LightningModule: any objective, AdamW, half a cosine after a warm-up."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningModule
from torch import nn

from vab.features.sampler import mixed_seed
from vab.shapes import Tensor
from vab.training.options import TrainingOptions


@runtime_checkable
class Objective(Protocol):
    """What is trained: an ``nn.Module`` with a loss; everything random in it comes from ``generator``."""

    def __call__(self, batch: Any, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars to log, ``loss`` among them: the one to minimise."""
        ...

    def evaluate(self, batch: Any, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars of one validation batch, averaged over batches."""
        ...


def cosine_with_warmup(step: int, warmup_steps: int, max_steps: int) -> float:
    """Share of the peak learning rate at a step: linear from 0 to 1, then half a cosine to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, max_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class TrainingModule(LightningModule):
    """Wraps an objective for the Trainer. Every batch has its own seed, so a resumed run repeats nothing."""

    def __init__(self, objective: nn.Module, options: TrainingOptions) -> None:
        super().__init__()
        self.objective = objective
        self.options = options
        self._scalars: dict[str, Tensor] = {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One batch's loss; Lightning restores ``batch_idx`` on resume, and with it the seed."""
        scalars = self.objective(batch, generator=self._generator("train", batch_idx))
        self._scalars = {f"train/{name}": value.detach() for name, value in scalars.items()}
        for name, value in self._scalars.items():
            self.log(name, value, prog_bar=name == "train/loss")
        return scalars["loss"]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """One batch's scalars; the same masks at every validation."""
        scalars = self.objective.evaluate(batch, generator=self._generator("validate", batch_idx))  # type: ignore[operator]
        for name, value in scalars.items():
            self.log(f"validate/{name}", value, batch_size=len(batch), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep this step's scalars: a run killed now has its checkpoint, but not yet its row of the curve."""
        checkpoint["last_scalars"] = {name: value.item() for name, value in self._scalars.items()}

    def configure_optimizers(self) -> Any:
        """AdamW and the cosine schedule, stepped every optimiser step."""
        options = self.options
        optimizer = torch.optim.AdamW(
            [parameter for parameter in self.parameters() if parameter.requires_grad],
            lr=options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine_with_warmup(step, options.warmup_steps, options.max_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _generator(self, phase: str, batch_idx: int) -> torch.Generator:
        words = (self.options.seed, int(phase == "train"), self.global_rank, batch_idx)
        return torch.Generator().manual_seed(mixed_seed(*words))
