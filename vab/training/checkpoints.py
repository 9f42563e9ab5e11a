"""Checkpoints: the state of a run at a step, in files that are whole or not there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vab.checkpoint import load_tensors, save_tensors
from vab.errors import WeightsError
from vab.shapes import Tensor

logger = logging.getLogger(__name__)

FORMAT = "checkpoint"
NUM_KEPT = 2
"""The newest, and the one before it, in case the disk damages the newest."""


@dataclass(frozen=True)
class Checkpoint:
    """A run after so many steps."""

    step: int
    settings: dict[str, Any]
    """What must be the same for the run to be resumed."""
    model: dict[str, Tensor]
    """State dict of the objective."""
    average: dict[str, Tensor]
    """That of its moving average; empty where there is none."""
    optimizer: dict[str, Tensor]
    """State of the optimiser by the number of the parameter: ``0.exp_avg``."""

    @property
    def final(self) -> dict[str, Tensor]:
        """The weights that the run gives away: averaged where it averages."""
        return self.average or self.model


class Checkpoints:
    """The checkpoints in one run's folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "checkpoints"

    def paths(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("step-*.safetensors"))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; only when it is whole do all but ``NUM_KEPT`` go.

        Raises:
            WeightsError: the weights or the optimiser's numbers are not finite.
            OSError: the disk is full, or writing is not allowed.
        """
        parts = {"model": checkpoint.model, "average": checkpoint.average, "optimizer": checkpoint.optimizer}
        tensors = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
        header = {"format": FORMAT, "version": 1, "step": checkpoint.step, "settings": checkpoint.settings}
        save_tensors(self.folder / f"step-{checkpoint.step:08d}.safetensors", tensors, header)
        self.prune(NUM_KEPT)

    def prune(self, num_kept: int) -> None:
        """Remove all but the newest."""
        for path in self.paths()[:-num_kept]:
            path.unlink()

    def newest(self) -> Checkpoint | None:
        """The newest whole one; those after it, which a disk or a copy damaged, are named and removed.

        Raises:
            WeightsError: there are checkpoints, and none is whole, or an earlier version wrote them.
        """
        if not self.paths() and (old := sorted(self.folder.glob("*.ckpt"))):
            raise WeightsError(
                f"{old[-1]}: a checkpoint of an earlier version, which this one cannot resume; "
                f"choose another folder, or delete {self.folder} to start over"
            )
        damaged = []
        for path in reversed(self.paths()):
            try:
                checkpoint = _read(path)
            except WeightsError as error:
                damaged.append((path, error))
                continue
            for other, reason in damaged:
                logger.warning("%s; resuming from %s", reason, path)
                other.unlink(missing_ok=True)  # every process of a run does so
            return checkpoint
        if damaged:
            raise WeightsError(
                f"{damaged[0][1]}; no other checkpoint is whole: delete {self.folder} to start over"
            )
        return None


def _read(path: Path) -> Checkpoint:
    tensors, header = load_tensors(path, expected_format=FORMAT)
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    try:
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        return Checkpoint(int(header["step"]), dict(header["settings"]), **parts)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: not a checkpoint of a training") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors."""
    states: Mapping[int, Mapping[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, state in states.items() for name, value in state.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo ``optimizer_tensors``."""
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, rest = name.partition(".")
        states.setdefault(int(number), {})[rest] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
