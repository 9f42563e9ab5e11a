"""Trainings killed, terminated and interrupted at several moments end with the curve and weights of an unbroken run;
an index and a report, made by the same command again, with those of an unbroken one.

``--moments 10`` tries more moments than the default. Every run is a process of its own, forked from this one, which
has imported everything and trained nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from tiny import extract_tiny, model_words, write_tiny_clip, write_tiny_model

import tasks.classification.finetune
import tasks.evaluation.generation
import tasks.pretraining.run
import tasks.retrieval.adapt
import tasks.retrieval.index  # noqa: F401 (imported once, for all runs)
from tasks import cli
from vab.checkpoint import load_tensors
from vab.retrieval.base import BRANCHES
from vab.retrieval.database import Database

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
STEPS = 24
CODES = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130}}
"""A signal that comes before the training has begun, or after it has ended, finds no handler of its own."""


def _start(words: list[str], log: Path) -> BaseProcess:
    def run() -> None:
        descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1)
        torch.set_num_threads(1)
        os._exit(cli.main(words))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def _finish(words: list[str], log: Path) -> None:
    process = _start(words, log)
    process.join()
    assert process.exitcode == 0, log.read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of few clips, and weights."""
    folder = tmp_path_factory.mktemp("interrupted")
    rows = ["id,path,split,label"]
    for index in range(8):
        write_tiny_clip(folder / f"{index}.mp4", 1.0, seed=index)
        rows.append(f"{index},{index}.mp4,{'train' if index < 6 else 'validation'},{'ab'[index % 2]}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    extract_tiny(folder / "manifest.csv", folder / "store")
    write_tiny_model(folder / "tiny.safetensors")
    return folder


def _words(command: str, folder: Path, out: Path) -> list[str]:
    words = [command, "--store", str(folder / "store"), "--out", str(out), "--device", "cpu"]
    training = {
        "batch_size": 2,
        "learning_rate": 1e-3,
        "precision": 32,
        "log_every": 1,
        "checkpoint_every": 4,
    }
    if command == "finetune":
        training |= {"epochs": STEPS * 2 // 6}
        words += ["--init", str(folder / "tiny.safetensors"), "--data.test_splits", '["validation"]']
    else:
        training |= {"max_steps": STEPS, "validate_every": 8}
    if command == "pretrain":
        training |= {"ema_decay": 0.9}
        words += [*model_words(), "--data.num_logged_clips", "0"]
    if command == "adapt":
        words += ["--weights", str(folder / "tiny.safetensors")]
    return words + [word for key, value in training.items() for word in (f"--training.{key}", str(value))]


@pytest.fixture(scope="module", params=["pretrain", "adapt", "finetune"])
def unbroken(request: pytest.FixtureRequest, folder: Path) -> tuple[str, Path]:
    """A command and the folder of its unbroken run."""
    out = folder / f"{request.param}-unbroken"
    _finish(_words(request.param, folder, out), folder / "log")
    return request.param, out


def _rows(out: Path) -> int:
    curve = out / "metrics.csv"
    return curve.read_text().count("\n") - 1 if curve.exists() else 0


@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_a_broken_run_resumed_is_an_unbroken_one(
    unbroken: tuple[str, Path], number: signal.Signals, folder: Path, tmp_path: Path, num_moments: int
) -> None:
    command, whole = unbroken
    for moment in range(1, num_moments + 1):
        out = tmp_path / str(moment)
        words = _words(command, folder, out)
        process = _start(words, log := tmp_path / "log")
        while process.is_alive() and _rows(out) < moment * STEPS // (num_moments + 1):
            time.sleep(0.001)
        time.sleep(0.001 * moment)  # not always right after a row
        if process.is_alive():
            os.kill(process.pid or 0, number)
        process.join()
        assert process.exitcode in {*CODES[number], 0}, log.read_text()
        if "is saved" in log.read_text():
            assert "re-run with --resume to resume" in log.read_text()
            assert process.exitcode in (130, 143)
        print(command, number.name, moment, process.exitcode, log.read_text().splitlines()[-1:])
        if process.exitcode:
            _finish([*words, "--resume"], log)
        assert (out / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
        name = "encoder.safetensors" if command == "adapt" else "model.safetensors"
        ours, theirs = (load_tensors(run / name)[0] for run in (out, whole))
        assert ours.keys() == theirs.keys() and all(ours[key].equal(theirs[key]) for key in theirs)
        assert not list(out.rglob(".*partial*"))


JOBS = {
    "index build": "index build {in}/0.mp4 {in}/1.mp4 {in}/2.mp4 --weights {in}/tiny.safetensors -o {out}",
    "index add": "index add {out} {in}/3.mp4 {in}/4.mp4 {in}/5.mp4",
    "evaluate": "evaluate generation --generated {in}/media --reference {in}/media -o {out}/report.json",
}


def _made(out: Path) -> dict[str, object]:
    """What a job made, without what tells one run from another."""
    if (out / "report.json").exists():
        return {"clips": json.loads((out / "report.json").read_text())["clips"]}
    database = Database(out)
    return {key: database.vectors(branch, key).tolist() for branch in BRANCHES for key in database.clips}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_a_broken_job_made_again_is_an_unbroken_one(
    job: str, number: signal.Signals, folder: Path, tmp_path: Path, num_moments: int
) -> None:
    (folder / "media").mkdir(exist_ok=True)
    for index in range(3):
        (folder / "media" / f"{index}.mp4").unlink(missing_ok=True)
        (folder / "media" / f"{index}.mp4").symlink_to(folder / f"{index}.mp4")

    def words(out: Path) -> list[str]:
        return JOBS[job].format(**{"in": folder, "out": out}).split()

    def prepared(name: str) -> Path:
        (tmp_path / name).mkdir()
        if job == "index add":
            _finish(JOBS["index build"].format(**{"in": folder, "out": tmp_path / name}).split(), log)
        return tmp_path / name

    log = tmp_path / "log"
    whole = prepared("whole")
    began = time.monotonic()
    _finish(words(whole), log)
    seconds = time.monotonic() - began
    for moment in range(1, num_moments + 1):
        out = prepared(str(moment))
        process = _start(words(out), log)
        time.sleep(seconds * moment / (num_moments + 1))
        if process.is_alive():
            os.kill(process.pid or 0, number)
        process.join()
        assert process.exitcode in {*CODES[number], 0}, log.read_text()
        _finish(words(out), log)
        assert _made(out) == _made(whole)
        assert not list(out.rglob(".*partial*"))
