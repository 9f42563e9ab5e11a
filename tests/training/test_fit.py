"""Training: the loss falls, a stopped run goes on as if it had not been stopped, settings have effects."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from vab.errors import WeightsError
from vab.training.module import cosine_with_warmup
from vab.training.options import TrainingOptions
from vab.training.run import fit, newest_checkpoint

OPTIONS = TrainingOptions(
    max_steps=12,
    batch_size=4,
    learning_rate=0.05,
    warmup_steps=2,
    precision="32",
    log_every=1,
    validate_every=6,
    checkpoint_every=4,
)


class Points(Dataset[torch.Tensor]):
    """Noisy points; the noise comes from the request's seed."""

    def __len__(self) -> int:
        return 10

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> torch.Tensor:
        rows = [
            torch.randn(3, generator=torch.Generator().manual_seed(seed)) + index for index, seed in requests
        ]
        return torch.stack(rows)


class Regression(nn.Module):
    """Predict a point's sum; random hiding makes the generator matter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 1)

    def forward(self, batch: torch.Tensor, *, generator: torch.Generator) -> dict[str, torch.Tensor]:
        keep = torch.rand(batch.shape, generator=generator) < 0.9
        return {"loss": (self.linear(batch * keep) - batch.sum(dim=1, keepdim=True)).square().mean()}

    def evaluate(self, batch: torch.Tensor, *, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return self(batch, generator=generator)


def _curve(out: Path, column: str = "train/loss") -> dict[int, float]:
    with (out / "metrics.csv").open(newline="") as file:
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row[column]}


def _fit(out: Path, options: TrainingOptions = OPTIONS, *, resume: bool = False) -> Regression:
    objective = Regression()
    fit(objective, Points(), Points(), options, out, resume=resume, device="cpu")
    return objective


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_stopped_run_goes_on_as_if_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema_decay: float, accumulate: int
) -> None:
    options = replace(OPTIONS, ema_decay=ema_decay, accumulate=accumulate)
    unbroken = _fit(tmp_path / "unbroken", options)

    stop_at = 7 * accumulate
    calls = 0
    forward = Regression.forward

    def dying(
        self: Regression, batch: torch.Tensor, *, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += self.training
        if calls > stop_at:
            raise RuntimeError("killed")
        return forward(self, batch, generator=generator)

    monkeypatch.setattr(Regression, "forward", dying)
    with pytest.raises(RuntimeError, match="killed"):
        _fit(tmp_path / "broken", options)
    monkeypatch.setattr(Regression, "forward", forward)
    checkpoint = newest_checkpoint(tmp_path / "broken")
    assert checkpoint is not None
    assert checkpoint.name == "step-00000004.ckpt"

    resumed = _fit(tmp_path / "broken", options, resume=True)
    assert _curve(tmp_path / "broken") == _curve(tmp_path / "unbroken")
    assert _curve(tmp_path / "broken", "validate/loss") == _curve(tmp_path / "unbroken", "validate/loss")
    assert torch.equal(resumed.linear.weight, unbroken.linear.weight)


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_a_finished_run_resumed_has_the_weights_it_ended_with(tmp_path: Path, ema_decay: float) -> None:
    options = replace(OPTIONS, ema_decay=ema_decay)
    finished = _fit(tmp_path, options)
    curve = (tmp_path / "metrics.csv").read_text()
    resumed = _fit(tmp_path, options, resume=True)
    assert torch.equal(resumed.linear.weight, finished.linear.weight)
    assert (tmp_path / "metrics.csv").read_text() == curve


def test_the_loss_falls_and_the_run_leaves_its_traces(tmp_path: Path) -> None:
    _fit(tmp_path)
    curve = _curve(tmp_path)
    assert len(curve) == 12
    assert curve[11] < curve[0] / 2
    assert set(_curve(tmp_path, "validate/loss")) == {5, 11}
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_bar_tells_steps_and_loss_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fit(tmp_path)
    shown = capsys.readouterr().out
    assert "Training" in shown
    assert "12/12" in shown
    assert "Epoch" not in shown
    assert "v_num" not in shown


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    _fit(tmp_path)
    with pytest.raises(WeightsError, match="--resume"):
        _fit(tmp_path)


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    _fit(tmp_path)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    checkpoint.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="delete it"):
        _fit(tmp_path, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.01},
        {"warmup_steps": 6},
        {"weight_decay": 0.9},
        {"betas": (0.5, 0.6)},
        {"gradient_clip": 0.01},
        {"precision": "bf16"},
        {"ema_decay": 0.9},
        {"seed": 1},
        {"accumulate": 2},
        {"batch_size": 3},
    ],
)
def test_every_setting_changes_the_result(tmp_path: Path, change: dict[str, object]) -> None:
    plain = _fit(tmp_path / "plain")
    changed = _fit(tmp_path / "changed", replace(OPTIONS, **change))  # type: ignore[arg-type]
    assert not torch.equal(plain.linear.weight, changed.linear.weight)


def test_schedule_rises_then_falls_as_half_a_cosine() -> None:
    rates = [cosine_with_warmup(step, 10, 110) for step in range(111)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("change", [{"max_steps": 0}, {"ema_decay": 1.0}])
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(OPTIONS, **change)  # type: ignore[arg-type]
