"""Training: the loss falls, a stopped run goes on as if it had not been stopped, settings have effects."""

import csv
import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors import SafetensorError
from torch import nn
from torch.utils.data import Dataset

from vab.errors import ConfigError, DivergenceError, StoppedError, WeightsError
from vab.training.checkpoints import Checkpoints
from vab.training.folder import run_folder
from vab.training.options import TrainingOptions, share_of_peak
from vab.training.run import fit

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
        return {"error": self(batch, generator=generator)["loss"]}


def _curve(out: Path, column: str = "train/loss") -> dict[int, float]:
    with (out / "metrics.csv").open(newline="") as file:
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row.get(column)}


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
    assert [path.stem for path in Checkpoints(tmp_path / "broken").paths()] == ["step-00000004"]

    resumed = _fit(tmp_path / "broken", options, resume=True)
    assert _curve(tmp_path / "broken") == _curve(tmp_path / "unbroken")
    assert _curve(tmp_path / "broken", "validate/error") == _curve(tmp_path / "unbroken", "validate/error")
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
    assert set(_curve(tmp_path, "validate/error")) == {5, 11}
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_bar_tells_steps_and_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fit(tmp_path)
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "12/12" in shown
    assert "loss" in shown


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    _fit(tmp_path)
    with pytest.raises(WeightsError, match="--resume"):
        _fit(tmp_path)


def _fail_at(monkeypatch: pytest.MonkeyPatch, call: int, what: Callable[[], object], method: str) -> None:
    """Have something happen when the objective's method is called for the n-th time, counted from 1."""
    original = getattr(Regression, method)
    calls = 0

    def failing(self: Regression, batch: torch.Tensor, *, generator: torch.Generator) -> Any:
        nonlocal calls
        calls += 1
        result = original(self, batch, generator=generator)
        return (what() or result) if calls == call else result

    monkeypatch.setattr(Regression, method, failing)


def _assert_same_run(ours: Path, theirs: Path, resumed: Regression, unbroken: Regression) -> None:
    assert (ours / "metrics.csv").read_text() == (theirs / "metrics.csv").read_text()
    assert torch.equal(resumed.linear.weight, unbroken.linear.weight)
    assert [path.stem for path in Checkpoints(ours).paths()] == ["step-00000012"]
    assert not list(ours.rglob(".*partial*"))


# Calls of ``forward`` are one a step and three a validation, which ``evaluate`` makes.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("method", "call", "step"), [("forward", 3, 3), ("evaluate", 2, 6), ("evaluate", 5, 12)]
)
def test_a_signal_saves_the_step_and_nothing_of_the_curve_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, method: str, call: int, step: int
) -> None:
    unbroken = _fit(tmp_path / "unbroken")
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        _fail_at(patch, call, lambda: signal.raise_signal(number), method)
        with pytest.raises(
            StoppedError, match=rf"{signal.Signals(number).name}; step {step} is saved"
        ) as info:
            _fit(tmp_path / "broken")
    assert info.value.signal_number == number
    assert signal.getsignal(number) == before
    assert Checkpoints(tmp_path / "broken").paths()[-1].stem == f"step-{step:08d}"
    resumed = _fit(tmp_path / "broken", resume=True)
    _assert_same_run(tmp_path / "broken", tmp_path / "unbroken", resumed, unbroken)


@pytest.mark.parametrize("validations", [1, 2])
def test_a_validation_that_a_kill_prevented_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validations: int
) -> None:
    options = replace(OPTIONS, checkpoint_every=6)
    unbroken = _fit(tmp_path / "unbroken", options)
    with monkeypatch.context() as patch:
        _fail_at(patch, 3 * validations, lambda: 1 / 0, "evaluate")
        with pytest.raises(ZeroDivisionError):
            _fit(tmp_path / "broken", options)
    assert len(_curve(tmp_path / "broken", "validate/error")) == validations - 1
    resumed = _fit(tmp_path / "broken", options, resume=True)
    _assert_same_run(tmp_path / "broken", tmp_path / "unbroken", resumed, unbroken)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unbroken = _fit(tmp_path / "unbroken")
    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        _fail_at(patch, 13, lambda: 1 / 0, "forward")  # step 10
        with pytest.raises(ZeroDivisionError):
            _fit(broken)
    older, newest = Checkpoints(broken).paths()
    newest.write_bytes(newest.read_bytes()[:-50])
    (broken / "checkpoints" / ".123-abcd.partial.safetensors").write_text("what a kill left")
    with (broken / "metrics.csv").open("a") as file:
        file.write("9,0.0")  # a row that a kill cut
    resumed = _fit(broken, resume=True)
    assert newest.name in caplog.text and f"resuming from {older}" in caplog.text
    _assert_same_run(broken, tmp_path / "unbroken", resumed, unbroken)


def test_without_a_whole_checkpoint_the_remedy_is_named(tmp_path: Path) -> None:
    _fit(tmp_path)
    for path in Checkpoints(tmp_path).paths():
        path.write_bytes(b"damaged")
    with pytest.raises(
        WeightsError, match=r"no other checkpoint is whole: delete .*checkpoints to start over"
    ):
        _fit(tmp_path, resume=True)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_stops_at_its_step_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float, accumulate: int
) -> None:
    options = replace(OPTIONS, accumulate=accumulate)
    _fail_at(monkeypatch, 5 * accumulate, lambda: {"loss": torch.tensor(bad, requires_grad=True)}, "forward")
    with pytest.raises(DivergenceError, match=f"the loss is {bad} at step 5"):
        _fit(tmp_path, options)
    checkpoint = Checkpoints(tmp_path).newest()
    assert checkpoint is not None and checkpoint.step == 4
    assert all(value.isfinite().all() for value in checkpoint.model.values())


def test_gradients_that_are_not_finite_stop_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def steep() -> dict[str, torch.Tensor]:
        at_zero = torch.zeros((), requires_grad=True)
        for parameter in made[0].parameters():
            at_zero = at_zero + parameter.sum() * 0
        return {"loss": at_zero.sqrt()}

    made: list[Regression] = []
    start = Regression.__init__
    monkeypatch.setattr(Regression, "__init__", lambda self: (start(self), made.append(self))[0])
    _fail_at(monkeypatch, 2, steep, "forward")
    with pytest.raises(DivergenceError, match="gradient's norm is nan at step 2"):
        _fit(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"batch_size": 5}, "batch_size 4, this run 5"), ({"seed": 9}, "seed 0, this run 9")],
)
def test_resuming_with_other_numbers_names_both(tmp_path: Path, change: dict[str, int], message: str) -> None:
    _fit(tmp_path)
    with pytest.raises(WeightsError, match=message):
        _fit(tmp_path, replace(OPTIONS, **change), resume=True)  # type: ignore[arg-type]


def test_resuming_with_another_size_names_both(tmp_path: Path) -> None:
    _fit(tmp_path)
    objective = Regression()
    objective.linear = nn.Linear(4, 1)
    with pytest.raises(WeightsError, match=r"linear.weight \[1, 3\], this run \[1, 4\]"):
        fit(objective, Points(), Points(), OPTIONS, tmp_path, resume=True, device="cpu")


def test_two_trainings_into_one_folder(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(WeightsError, match="another process is training"):
        _fit(tmp_path)
    with run_folder(tmp_path):  # a command holds the folder, and what it calls enters it again
        _fit(tmp_path)


def test_checkpoints_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    old = tmp_path / "checkpoints" / "step-00000004.ckpt"
    old.parent.mkdir()
    old.touch()
    for resume in (False, True):
        with pytest.raises(
            WeightsError, match=r"step-00000004.ckpt: a checkpoint of an earlier version.*delete"
        ):
            _fit(tmp_path, resume=resume)


def test_a_full_disk_is_an_error_and_tears_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = _fit(tmp_path / "unbroken")

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        _fail_at(patch, 7, lambda: patch.setattr("vab.checkpoint.save_file", full), "forward")
        with pytest.raises(OSError, match="No space left"):
            _fit(tmp_path / "broken")
    assert [path.stem for path in Checkpoints(tmp_path / "broken").paths()] == ["step-00000004"]
    assert not list((tmp_path / "broken").rglob(".*partial*"))
    resumed = _fit(tmp_path / "broken", resume=True)
    _assert_same_run(tmp_path / "broken", tmp_path / "unbroken", resumed, unbroken)


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


class Blocks(Regression):
    """The same with its layer among blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([self.linear])


def test_compiled_blocks_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def keep(function: object, **_: object) -> object:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", keep)
    objective = Blocks()
    options = replace(OPTIONS, compile=True, ema_decay=0.5)
    fit(objective, Points(), Points(), options, tmp_path / "compiled", device="cpu")
    assert compiled == [objective.linear._call_impl]
    plain = _fit(tmp_path / "plain", replace(options, compile=False))
    torch.testing.assert_close(objective.linear.weight, plain.linear.weight, rtol=0, atol=0)


def test_a_network_without_blocks_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no blocks to compile"):
        _fit(tmp_path / "run", replace(OPTIONS, compile=True))


def test_schedule_rises_then_falls_as_half_a_cosine() -> None:
    options = replace(OPTIONS, warmup_steps=10, max_steps=110)
    rates = [share_of_peak(step, options) for step in range(111)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_other_schedules_follow_their_formulas() -> None:
    options = replace(OPTIONS, warmup_steps=10, max_steps=110)
    constant, line = (replace(options, schedule=name) for name in ("constant", "polynomial"))
    square = replace(line, polynomial_power=2.0)
    assert [share_of_peak(4, each) for each in (constant, line, square)] == [0.5] * 3
    assert [share_of_peak(60, each) for each in (constant, line, square)] == pytest.approx([1.0, 0.5, 0.25])
    assert [share_of_peak(110, each) for each in (constant, line, square)] == [1.0, 0.0, 0.0]
    to_half = replace(line, learning_rate=2e-4, final_learning_rate=1e-4)
    assert [share_of_peak(step, to_half) for step in (60, 110)] == pytest.approx([0.75, 0.5])


@pytest.mark.parametrize("change", [{"max_steps": 0}, {"ema_decay": 1.0}])
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(OPTIONS, **change)  # type: ignore[arg-type]
