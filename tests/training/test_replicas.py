"""Two processes with half the batch each train as one process with the whole."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path

import torch
from torch import nn

from vab.training.options import TrainingOptions
from vab.training.run import fit


class Points(torch.utils.data.Dataset):
    def __len__(self):
        return 12

    def __getitems__(self, requests):
        return torch.stack([torch.arange(3.0) + index for index, _ in requests])


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 1)

    def forward(self, batch, *, generator):
        return {"loss": (self.linear(batch) - batch.sum(dim=1, keepdim=True)).square().mean()}

    def evaluate(self, batch, *, generator):
        return self(batch, generator=generator)


options = TrainingOptions(
    max_steps=6, batch_size=int(sys.argv[2]), learning_rate=0.01, precision="32", validate_every=3, seed=1
)
fit(Regression(), Points(), Points(), options, Path(sys.argv[1]), device="cpu")
"""


def _validation_curve(out: Path) -> list[float]:
    with (out / "metrics.csv").open(newline="") as file:
        return [float(row["validate/loss"]) for row in csv.DictReader(file) if row.get("validate/loss")]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    for command, name, batch_size in (([sys.executable], "one", 4), (torchrun, "two", 2)):
        words = [*command, str(script), str(tmp_path / name), str(batch_size)]
        subprocess.run(words, check=True, env=environment, capture_output=True, timeout=300)
    one, two = (_validation_curve(tmp_path / name) for name in ("one", "two"))
    assert len(one) == 2
    assert two == pytest.approx(one, rel=1e-5)
