"""Two processes train as one with as many batches a step, and take over its checkpoints."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import extract_tiny, model_words, write_tiny_clip

from tasks import cli

ROOT = Path(__file__).parents[2]
OPTIONS = {
    "training.batch_size": 4,
    "training.learning_rate": 0.01,
    "training.schedule": "constant",
    "training.precision": 32,
    "training.ema_decay": 0.5,
    "training.log_every": 1,
    "training.validate_every": 2,
    "data.crop_seconds": 1,
    "data.roll_prob": 0.5,
    "data.num_logged_clips": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replicas")
    for number in range(10):
        write_tiny_clip(folder / "clips" / f"{number}.mp4", 1.5, seed=number)
    return extract_tiny(folder / "clips", folder / "store", 1.5)


def _pretrain(store: Path, out: Path, steps: int, accumulate: int) -> list[str]:
    words = [*model_words(), *(f"--{name}={str(value).lower()}" for name, value in OPTIONS.items())]
    words += [f"--training.max_steps={steps}", f"--training.accumulate={accumulate}", "--resume"]
    return ["pretrain", "--store", str(store), "--out", str(out), *words]


def _in_two_processes(words: list[str]) -> tuple[str, str]:
    """What the first and the second print, in the environment that torchrun and srun give."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    for rank in range(2):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)}
        environment |= {name: str(value) for name, value in shared.items()}
        command = [sys.executable, "-m", "tasks.cli", *words]
        processes.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        )
    try:
        printed = [process.communicate(timeout=500)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0]
    return printed[0], printed[1]


def _curve(out: Path, column: str) -> list[float]:
    with (out / "metrics.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def test_a_run_moves_between_one_process_and_two_on_one_curve(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(_pretrain(store, tmp_path / "one", 6, accumulate=4)) == 0
    moved = tmp_path / "moved"
    assert cli.main(_pretrain(store, moved, 2, accumulate=4)) == 0
    first, second = _in_two_processes(_pretrain(store, moved, 4, accumulate=2))
    assert "weights in" in first and not second, "the first process speaks for all"
    assert cli.main(_pretrain(store, moved, 6, accumulate=2)) == 2
    assert "accumulate x processes 4, this run 2" in capsys.readouterr().err
    assert cli.main(_pretrain(store, moved, 6, accumulate=4)) == 0
    for column, count in (("train/loss", 6), ("validate/loss_with_vision", 3)):
        curve = _curve(tmp_path / "one", column)
        assert len(curve) == count
        assert _curve(moved, column) == pytest.approx(curve, rel=1e-5)
