"""A disk that fills up while a command writes: one line that names the file, and nothing half-written is left.

The system's limit on the size of a file stands for the disk: every library then fails in its own way.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_config, write_tiny_clip, write_tiny_model

from tasks import cli

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork and limits on the size of files"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
LARGEST = {"embed": 300}
"""Bytes by command, 1500 by default: descriptions and lines of clips fit; features, weights, audio, frames do not."""
MODEL = " ".join(f"--model.{key} {str(value).lower()}" for key, value in vars(tiny_config()).items())
TRAINING = "--training.batch_size 2 --training.num_workers 0 --device cpu"
EXTRACT = (
    "extract {in}/list.csv --store {in}/store --codec tiny-encodec --encoder tiny-clip --visual-fps 5 "
    "--clip-seconds 1 --device cpu"
)  # whose own writer is tested in tests/features
COMMANDS = [
    f"pretrain --store {{in}}/store --out {{out}} {MODEL} --data.num_logged_clips 0 {TRAINING} --training.max_steps 1",
    f"adapt --store {{in}}/store --weights {{in}}/tiny.safetensors --out {{out}} {TRAINING} --training.max_steps 1",
    "generate {in}/0.mp4 --weights {in}/tiny.safetensors -o {out} --device cpu",
    "generate {in}/0.mp4 --weights {in}/tiny.safetensors -o {out} --audio-only wav --device cpu",
    "embed {in}/0.mp4 {in}/1.mp4 --modality video --weights {in}/tiny.safetensors -o {out}/file.npy --device cpu",
    "index build {in}/0.mp4 {in}/1.mp4 --weights {in}/tiny.safetensors -o {out} --device cpu",
    "evaluate generation --generated {in}/media --reference {in}/media -o {out}/report.json",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full-disk")
    (folder / "media").mkdir()
    rows = ["id,path,split,label"]
    for index in range(4):
        write_tiny_clip(folder / f"{index}.mp4", 1.0, seed=index)
        (folder / "media" / f"{index}.mp4").symlink_to(folder / f"{index}.mp4")
        rows.append(f"{index},{index}.mp4,{'train' if index < 2 else 'validation'},{'ab'[index % 2]}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    write_tiny_model(folder / "tiny.safetensors")
    assert cli.main(EXTRACT.format(**{"in": folder}).split()) == 0
    return folder


def _with_a_full_disk(words: list[str]) -> tuple[int | None, str]:
    """Exit code of a command in a process whose files cannot grow, and what it said."""
    ours, theirs = os.pipe()

    def run() -> None:
        import resource

        sys.stdout = sys.stderr = os.fdopen(theirs, "w", buffering=1)
        torch.set_num_threads(1)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        largest = LARGEST.get(words[0], 1500)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        os._exit(cli.main(words))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    os.close(theirs)
    with os.fdopen(ours, errors="replace") as pipe:
        said = pipe.read()
    process.join()
    return process.exitcode, said


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[:2])[:12])
def test_one_line_names_the_file(command: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kept = out / ".kept"
    kept.write_text("kept")
    code, said = _with_a_full_disk(command.format(**{"in": folder, "out": out}).split())
    assert code == 2, said
    assert "Traceback" not in said
    [line] = [line for line in said.splitlines() if line.startswith("vab ")]
    assert str(out) in line, said
    assert kept.read_text() == "kept"
    assert not list(out.rglob(".*partial*"))
