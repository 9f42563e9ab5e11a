"""``fit``: data and objective in, curves, checkpoints and trained weights out; resumes exactly."""

from __future__ import annotations

import csv
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset

from vab.device import choose_device
from vab.errors import WeightsError
from vab.features.sampler import StepSampler
from vab.training.module import TrainingModule
from vab.training.options import TrainingOptions

logger = logging.getLogger(__name__)


def fit(
    objective: nn.Module,
    train_data: Dataset[Any],
    validation_data: Dataset[Any] | None,
    options: TrainingOptions,
    out: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    device: str = "auto",
    weights: Sequence[float] | None = None,
) -> None:
    """Train ``objective`` in place; afterwards it holds the final (or averaged) weights.

    Writes into ``out``: ``metrics.csv``, ``tensorboard/``, ``checkpoints/``. Data order, augmentation and masks
    depend on the seed and the batch number alone, so a run killed at any moment and resumed gives the loss curve of
    an unbroken one.

    Args:
        objective: see ``vab.training.module.Objective``.
        train_data: takes lists of (index, seed) pairs in ``__getitems__`` and returns a whole batch.
        validation_data: the same; validated in order, with fixed seeds.
        options: how to train.
        out: folder of this run.
        resume: go on from the newest checkpoint in ``out``, or start where there is none.
        callbacks: more Lightning callbacks, such as one that logs samples.
        device: ``auto``, ``cpu`` or ``cuda``.
        weights: how often each training clip is drawn, in proportion; None = each once an epoch.

    Raises:
        WeightsError: ``out`` already holds a run and ``resume`` is off, or its checkpoint is damaged.
    """
    checkpoint = newest_checkpoint(out)
    if checkpoint is not None and not resume:
        raise WeightsError(
            f"{out} already holds a run; add --resume to go on with it, or choose another folder"
        )
    objective.train()  # Lightning leaves the mode as it finds it
    first_step, last_scalars = (0, {}) if checkpoint is None else _read(checkpoint)
    if first_step:
        logger.info("resuming at step %d from %s", first_step, checkpoint)
    if checkpoint is not None and first_step >= options.max_steps:
        _load(objective, checkpoint)
        return
    with warnings.catch_warnings():
        _quiet_lightning()
        seed_everything(options.seed, verbose=False)
        trainer = _trainer(
            options,
            out,
            first_step,
            last_scalars,
            callbacks,
            device,
            has_validation=validation_data is not None,
        )
        sampler = StepSampler(
            len(train_data),  # type: ignore[arg-type]
            options.batch_size,
            seed=options.seed,
            start_batch=first_step * options.accumulate,
            weights=weights,
            rank=trainer.global_rank,
            num_replicas=trainer.world_size,
        )
        trainer.fit(
            TrainingModule(objective, options),
            ResumedLoader(
                train_data, batch_sampler=sampler, collate_fn=_same, num_workers=options.num_workers
            ),
            None if validation_data is None else _validation_loader(validation_data, options),
            ckpt_path=None if checkpoint is None else str(checkpoint),
            weights_only=True,
        )


class ResumedLoader(DataLoader[Any]):
    """A loader whose sampler already starts at the right batch, which is all Lightning needs to know."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the position is the checkpoint's step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore, see ``state_dict``."""


class _StepBar(RichProgressBar):
    """Steps and the loss; an endless epoch's number and a logger's version tell nothing."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{'Training':{len(self.validation_description)}}"

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> Any:
        """Without the version."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def newest_checkpoint(out: Path) -> Path | None:
    """The checkpoint with the highest step in a run's folder."""
    return max((out / "checkpoints").glob("step-*.ckpt"), default=None)


def _read(checkpoint: Path) -> tuple[int, dict[str, float]]:
    """Steps taken, and the scalars of the last of them."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return int(content["global_step"]), dict(content["last_scalars"])
    except Exception as error:
        raise WeightsError(
            f"{checkpoint} is not a readable checkpoint ({type(error).__name__}); "
            "delete it to start the run again"
        ) from error


def _load(objective: nn.Module, checkpoint: Path) -> None:
    """The weights that a finished run ended with, averaged where it averages; Lightning would give the last step's."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    objective.load_state_dict({name.removeprefix("objective."): value for name, value in state.items()})


def _trainer(
    options: TrainingOptions,
    out: Path,
    first_step: int,
    last_scalars: dict[str, float],
    callbacks: Sequence[Callback],
    device: str,
    *,
    has_validation: bool,
) -> Trainer:
    curve = CSVLogger(out, name="", version="", flush_logs_every_n_steps=1)
    _carry_on(curve, out / "metrics.csv", first_step, last_scalars, options.log_every)
    board = TensorBoardLogger(out, name="", version="tensorboard", purge_step=first_step or None)
    checkpoints = ModelCheckpoint(
        out / "checkpoints",
        filename="step-{step:08d}",
        auto_insert_metric_name=False,
        every_n_train_steps=options.checkpoint_every,
        save_top_k=1,
    )
    averaging = [EMAWeightAveraging(decay=options.ema_decay)] if options.ema_decay else []
    device = choose_device(device)
    return Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=options.num_devices if device == "cuda" else 1,
        precision="bf16-mixed" if options.precision == "bf16" else "32-true",
        max_steps=options.max_steps,
        limit_train_batches=options.max_steps * options.accumulate,
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.gradient_clip or None,
        val_check_interval=options.validate_every * options.accumulate if has_validation else None,
        check_val_every_n_epoch=None,
        log_every_n_steps=options.log_every,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        logger=[curve, board],
        callbacks=[*callbacks, *averaging, checkpoints, LearningRateMonitor("step"), _StepBar()],
    )


def _carry_on(
    curve: CSVLogger, path: Path, first_step: int, last_scalars: dict[str, float], log_every: int
) -> None:
    """Hand the curve so far to the new logger, less the steps that are about to be taken again."""
    rows: list[dict[str, Any]] = []
    if path.exists() and first_step:
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < first_step]
        is_due = first_step % log_every == 0
        has_row = any(int(row["step"]) == first_step - 1 and row.get("train/loss") for row in rows)
        if is_due and not has_row:
            rows.append({"epoch": 0, "step": first_step - 1, **last_scalars})
    path.unlink(missing_ok=True)
    curve.experiment.metrics.extend(rows)
    curve.experiment.save()


def _validation_loader(data: Dataset[Any], options: TrainingOptions) -> DataLoader[Any]:
    order = [(index, index) for index in range(len(data))]  # type: ignore[arg-type]
    batches = [
        order[start : start + options.batch_size] for start in range(0, len(order), options.batch_size)
    ]
    return DataLoader(data, batch_sampler=batches, collate_fn=_same)


def _same(batch: Any) -> Any:
    """The dataset already returns whole batches."""
    return batch


def _quiet_lightning() -> None:
    """Keep advice that does not concern our users off their screens."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*tensorboard.*",
        ".*Checkpoint directory.*",
        ".*log_dir.*",
        ".*LeafSpec.*",
        ".*Experiment logs directory.*",
        ".*no .val_dataloader.*",
    ):
        warnings.filterwarnings("ignore", message=message)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
