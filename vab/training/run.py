"""``fit``: data and objective in, curves, checkpoints and trained weights out; resumes exactly."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.fabric import Fabric
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

from vab.device import choose_device, compile_blocks
from vab.errors import DivergenceError, StoppedError, WeightsError
from vab.features.sampler import StepSampler, mixed_seed
from vab.shapes import Tensor
from vab.training.checkpoints import Checkpoint, Checkpoints, load_optimizer, optimizer_tensors
from vab.training.curve import Curve
from vab.training.folder import run_folder
from vab.training.options import TrainingOptions, share_of_peak
from vab.training.replicas import RANK, make_fabric

logger = logging.getLogger(__name__)

CONSOLE = Console(stderr=True, quiet=RANK != 0, highlight=False)
"""Of the first process alone."""

OnValidation = Callable[[Any, SummaryWriter, int], None]
"""Objective, TensorBoard and the number of steps taken."""


def fit(
    objective: nn.Module,
    train_data: Dataset[Any],
    validation_data: Dataset[Any] | None,
    options: TrainingOptions,
    out: Path,
    *,
    resume: bool = False,
    on_validation: OnValidation | None = None,
    device: str = "auto",
    weights: Sequence[float] | None = None,
) -> None:
    """Train ``objective`` in place; afterwards it holds the final (or averaged) weights, on the CPU.

    Writes into ``out``: ``metrics.csv``, ``tensorboard/``, ``checkpoints/``. Data order, augmentation and masks
    depend on the seed and the batch number alone, so a run killed at any moment and resumed gives the loss curve of
    an unbroken one. Under ``torchrun`` every process takes its share of each step: the curve depends on the batches a
    step, ``accumulate`` times the processes, and not on how many processes take them.

    Args:
        objective: see ``vab.training.objective.Objective``.
        train_data: takes lists of (index, seed) pairs in ``__getitems__`` and returns a whole batch.
        validation_data: the same; validated in order, with fixed seeds.
        options: how to train.
        out: folder of this run.
        resume: go on from the newest whole checkpoint in ``out``, or start where there is none.
        on_validation: called after each validation, such as to log samples.
        device: ``auto``, ``cpu`` or ``cuda``.
        weights: how often each training clip is drawn, in proportion; None = each once an epoch.

    Raises:
        WeightsError: ``out`` already holds a run and ``resume`` is off, its checkpoints are damaged or of other
            sizes, or another process trains into it.
        DivergenceError: the loss or the gradients are not finite.
        StoppedError: SIGINT or SIGTERM came; the step reached is saved.
        OSError: the disk is full, or writing is not allowed.
    """
    with run_folder(out):
        checkpoints = Checkpoints(out)
        if checkpoints.paths() and not resume:
            raise WeightsError(
                f"{out} already holds a run; add --resume to go on with it, or choose another folder"
            )
        checkpoint = checkpoints.newest()
        torch.manual_seed(options.seed)
        with _StopSignal() as stop:
            fabric = make_fabric(choose_device(device))
            run = _Run(objective, options, fabric, stop)
            if checkpoint is not None:
                _check_same(checkpoint, run, out)
            first_step = run.restore(checkpoint)
            sampler = StepSampler(
                len(train_data),  # type: ignore[arg-type]
                options.batch_size,
                seed=options.seed,
                start_batch=first_step * options.accumulate,
                num_batches=options.max_steps * options.accumulate,
                weights=weights,
                rank=fabric.global_rank,
                num_replicas=fabric.world_size,
            )
            batches = DataLoader(
                train_data,
                batch_sampler=sampler,
                collate_fn=_same,
                num_workers=options.num_workers,
                worker_init_fn=_ignore_interrupts,
            )
            curve = Curve(out, first_step) if fabric.is_global_zero else None
            run.train(iter(batches), validation_data, first_step, curve, checkpoints, on_validation)
        objective.load_state_dict(run.evaluated.state_dict())
        objective.cpu()


class _Run:
    """Objective, optimiser and moving average on their device."""

    def __init__(
        self, objective: nn.Module, options: TrainingOptions, fabric: Fabric, stop: _StopSignal
    ) -> None:
        self.options = options
        self.fabric = fabric
        self.stop = stop
        self.objective = objective.to(fabric.device).train()
        if options.compile:
            compile_blocks(objective)
        self.replica = fabric.setup_module(objective)
        self.parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.average = (
            AveragedModel(objective, multi_avg_fn=get_ema_multi_avg_fn(options.ema_decay), use_buffers=True)
            if options.ema_decay
            else None
        )

    @property
    def settings(self) -> dict[str, int]:
        """What says which clips, with which noise, make a step."""
        options = self.options
        batches = options.accumulate * self.fabric.world_size
        return {"batch_size": options.batch_size, "accumulate": batches, "seed": options.seed}

    @property
    def evaluated(self) -> nn.Module:
        """What is measured and given away: the moving average where there is one."""
        return self.objective if self.average is None else self.average.module

    def restore(self, checkpoint: Checkpoint | None) -> int:
        """Take up a checkpoint's state; the number of steps taken.

        Raises:
            WeightsError: another process found a later checkpoint.
        """
        found = checkpoint.step if checkpoint else 0
        if (latest := self._highest(found)) != found:
            raise WeightsError(
                f"--out: this process finds step {found} there, another one step {latest}; choose a folder that all "
                "nodes share"
            )
        if checkpoint is None:
            return 0
        self.objective.load_state_dict(checkpoint.model)
        load_optimizer(self.optimizer, checkpoint.optimizer)
        if self.average is not None:
            self.average.module.load_state_dict(checkpoint.average or checkpoint.model)
            self.average.n_averaged.fill_(checkpoint.step)
        logger.info("resuming at step %d", checkpoint.step)
        return checkpoint.step

    def train(
        self,
        batches: Iterator[Any],
        validation_data: Dataset[Any] | None,
        first_step: int,
        curve: Curve | None,
        checkpoints: Checkpoints,
        on_validation: OnValidation | None,
    ) -> None:
        """Take all steps that are left; what happens after a step: its row, its checkpoint, its validation."""
        options = self.options

        def save(taken: int) -> None:
            if curve is not None:
                curve.sync()
                checkpoints.save(self._checkpoint(taken))

        def validate(taken: int) -> None:
            if validation_data is None or taken % options.validate_every:
                return
            scalars = self._validate(validation_data)
            if scalars is None:
                save(taken)
                raise _stopped(taken, self._must_stop())
            if curve is not None:
                curve.log(taken - 1, scalars)
                told = ", ".join(
                    f"{name.removeprefix('validate/')} {value:.4g}" for name, value in scalars.items()
                )
                CONSOLE.print(f"step {taken} of {options.max_steps}, validation: {told}", markup=False)
                if on_validation is not None:
                    on_validation(self.evaluated, curve.board, taken)

        try:
            # Only the first process has the curve, and all validate or none.
            is_validated = curve is not None and curve.has_validation(first_step - 1)
            if first_step and not self._highest(int(is_validated)):
                validate(first_step)
            with _bar(first_step, options.max_steps) as advance:
                for taken in range(first_step + 1, options.max_steps + 1):
                    scalars = self._step(batches, taken)
                    if curve is not None and taken % options.log_every == 0:
                        curve.log(taken - 1, scalars)
                    advance(scalars["train/loss"])
                    must_stop = self._must_stop()
                    if must_stop or taken == options.max_steps or not taken % options.checkpoint_every:
                        save(taken)
                    if must_stop:
                        raise _stopped(taken, must_stop)
                    validate(taken)
        finally:
            if curve is not None:
                curve.close()
        checkpoints.prune(1)

    def _step(self, batches: Iterator[Any], taken: int) -> dict[str, float]:
        """One optimiser step, to be the one numbered ``taken``; the means of its batches' scalars."""
        options = self.options
        rate = options.learning_rate * share_of_peak(taken - 1, options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums: dict[str, Tensor] = {}
        for part in range(options.accumulate):
            is_last = part == options.accumulate - 1
            batch_of_process = (taken - 1) * options.accumulate + part
            number = batch_of_process * self.fabric.world_size + self.fabric.global_rank
            generator = self._generator("train", number)
            with self.fabric.no_backward_sync(self.replica, enabled=not is_last):
                with self._autocast():
                    scalars = self.replica(self.fabric.to_device(next(batches)), generator=generator)
                    loss = scalars["loss"] / options.accumulate
                self.fabric.backward(loss)
            for name, value in scalars.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float() / options.accumulate
        means = dict(zip(sums, self._reduced(torch.stack(list(sums.values())), "mean"), strict=True))
        norm = nn.utils.clip_grad_norm_(self.parameters, options.gradient_clip or math.inf)
        # Both are the same in every process, so that all stop or none.
        for what, value in (("loss is", means["loss"]), ("gradient's norm is", norm)):
            if not value.isfinite():
                raise DivergenceError(
                    f"the {what} {value.item()} at step {taken}; the checkpoint before it is kept: "
                    "lower training.learning_rate, or give training.precision 32"
                )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.objective)
        return {"lr": rate, **{f"train/{name}": float(value) for name, value in means.items()}}

    @torch.no_grad()
    def _validate(self, data: Dataset[Any]) -> dict[str, float] | None:
        """Averages over the validation clips, always with the same masks; None when it was to be stopped."""
        size, num_clips = self.options.batch_size, len(data)  # type: ignore[arg-type]
        objective: Any = self.evaluated.eval()
        sums: dict[str, Tensor] = {}
        for number, start in enumerate(range(0, num_clips, size)):
            if self._must_stop():
                return None
            indices = range(start, min(start + size, num_clips))
            batch = self.fabric.to_device(data.__getitems__([(index, index) for index in indices]))  # type: ignore[attr-defined]
            with self._autocast():
                scalars = objective.evaluate(batch, generator=self._generator("validate", number))
            for name, value in scalars.items():
                sums[name] = sums.get(name, 0.0) + value.float() * len(indices)
        self.objective.train()
        return {f"validate/{name}": float(value) / num_clips for name, value in sums.items()}

    def _checkpoint(self, taken: int) -> Checkpoint:
        return Checkpoint(
            taken,
            self.settings,
            self.objective.state_dict(),
            {} if self.average is None else self.average.module.state_dict(),
            optimizer_tensors(self.optimizer),
        )

    def _autocast(self) -> torch.autocast:
        is_on = self.options.precision == "bf16"
        # Fabric's own bf16-mixed would round the batch too: waveforms that a codec learns to reconstruct.
        return torch.autocast(self.fabric.device.type, torch.bfloat16, enabled=is_on, cache_enabled=False)

    def _generator(self, phase: str, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(mixed_seed(self.options.seed, int(phase == "train"), number))

    def _must_stop(self) -> int:
        """The highest signal that any process got, or 0."""
        return self._highest(self.stop.number)

    def _highest(self, value: int) -> int:
        """The highest of all processes' numbers."""
        return int(self._reduced(torch.tensor(value, device=self.fabric.device), "max"))

    def _reduced(self, values: Tensor, how: str) -> Tensor:
        """The mean or the highest over all processes."""
        reduced = self.fabric.all_reduce(values, reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced


class _StopSignal:
    """Within it, the first SIGINT or SIGTERM is noted; the second does what it would do elsewhere."""

    number = 0
    """Of the signal; 0 = none has come."""

    def __enter__(self) -> _StopSignal:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
        signal.signal(number, self._before[number])


def _stopped(taken: int, number: int) -> StoppedError:
    return StoppedError(f"stopped by {signal.Signals(number).name}; step {taken} is saved", number)


def _check_same(checkpoint: Checkpoint, run: _Run, out: Path) -> None:
    """Refuse to resume a run with other numbers.

    Raises:
        WeightsError: the first that differs, there and here.
    """
    shapes = {name: list(value.shape) for name, value in run.objective.state_dict().items()}
    theirs = {name: list(value.shape) for name, value in checkpoint.model.items()}
    here, there = run.settings | shapes, checkpoint.settings | theirs
    for name in sorted(here.keys() | there.keys(), key=list(run.settings).__contains__, reverse=True):
        if here.get(name) != there.get(name):
            told = "accumulate x processes" if name == "accumulate" else name
            raise WeightsError(
                f"{out}: its checkpoint has {told} {there.get(name, 'nowhere')}, this run "
                f"{here.get(name, 'nowhere')}; resume with the same, or choose another folder"
            )


def _same(batch: Any) -> Any:
    """The dataset already returns whole batches."""
    return batch


def _ignore_interrupts(_: int) -> None:
    """Ctrl-C reaches the processes that read data too; it is the trainer's to end them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _bar(first_step: int, max_steps: int) -> Iterator[Callable[[float], None]]:
    """Steps and the loss on the screen, of the first process alone."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4g}"))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("training"), *columns, *times, console=CONSOLE) as progress:
        task = progress.add_task("training", total=max_steps, completed=first_step, loss=math.nan)
        yield lambda loss: progress.update(task, advance=1, loss=loss)
