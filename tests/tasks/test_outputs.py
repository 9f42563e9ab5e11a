"""Commands never write over what they read, and say in one line where they cannot write."""

from __future__ import annotations

import errno
from dataclasses import fields
from pathlib import Path

import pytest

from tasks import cli

COMMANDS = [
    "generate {file} -o {folder} --overwrite",
    "generate {file} -o {file}",
    "refine {file} -o {folder} --format npy --overwrite",
    "extract {file} --store {folder}",
    "embed {file} --modality video -o {file}",
    "search nowhere --video {file} --html {file}",
    "search {folder} --text dog --html {file}",
    "layout --audio {file} -o {file}",
    "curate {folder} -o {file}",
    "bench decoding --config {file} -o {file}",
    "bench generate {file} -o {file}",
    "bench generate {file} --profile {file}",
    "bench extract {file} -o {file}",
    "bench train {file} -o {file}",
    "pretrain --store nowhere --refiner {file} --out {folder} --training.max_steps 1",
    "evaluate generation --generated {folder} --reference {folder} -o {file}",
    "evaluate retrieval --store {folder} -o {file}",
    "evaluate tokens --store {folder} -o {file}",
    "evaluate tokens --store nowhere --weights {file} -o {file}",
    "evaluate results --source {folder} -o {file}",
    "evaluate list --source {file} -o {file}",
    "evaluate answers {file} --key {folder}/key.json -o {file}",
]
NAMES = {
    "refine": "codes.npy",
    "extract": "missing.txt",
    "embed": "clip.json",
    "pretrain": "model.safetensors",
    "layout": "sound.json",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_input_is_never_written_over(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / NAMES.get(command.split()[0], "clip.mp4")
    file.write_text("kept")
    assert cli.main([word.format(file=file, folder=tmp_path) for word in command.split()]) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert file.read_text() == "kept"
    assert [path for path in tmp_path.iterdir() if path.name != ".lock"] == [file]


WRITERS = [
    "demo -o {out}",
    "demo corpus --clips 1 -o {out}",
    "demo train --quick -o {out}",
    "generate {file} -o {out}",
    "refine {file} -o {out}",
    "extract {file} --store {out}",
    "pretrain --store nowhere --out {out} --training.max_steps 1",
    "finetune --store nowhere --out {out} --training.epochs 1",
    "classify {file} --every 1 -o {out}",
    "adapt --store nowhere --out {out} --training.max_steps 1",
    "embed {file} --modality video -o {out}.json",
    "index build {file} -o {out}",
    "search nowhere --text dog --html {out}.html",
    "evaluate demo -o {out}",
    "evaluate sweep -o {out}",
    "evaluate layout --weights {file} --store {folder} -o {out}",
    "evaluate ablation -o {out}",
    "evaluate curation --store {folder} -o {out}",
    "evaluate codec -o {out}",
    "evaluate refinement --store nowhere -o {out}",
    "evaluate generation --generated {folder} --reference {folder} -o {out}.json",
    "evaluate retrieval --store nowhere -o {out}.json",
    "evaluate tokens --store nowhere -o {out}.json",
    "evaluate list --source {file} -o {out}.csv",
    "evaluate listening --systems a={folder} b={folder} -o {out}",
    "evaluate answers {file} --key {file} -o {out}.json",
    "evaluate results --source {folder} -o {out}.md",
    "layout --audio {file} -o {out}.json",
    "curate nowhere -o {out}.csv",
    "bench decoding --config {file} -o {out}.json",
    "bench generate {file} -o {out}.json",
    "bench generate {file} --profile {out}.json",
    "bench extract {file} -o {out}.json",
    "bench train {file} -o {out}.json",
    "bench index -o {out}.json",
]


def test_every_command_that_writes_is_tried() -> None:
    writing = {
        name
        for name, command in cli.COMMANDS.items()
        if any(field.metadata.get("short") == "-o" for field in fields(command.options))
    }
    tried = {name for name in cli.COMMANDS if any(words.startswith(f"{name} ") for words in WRITERS)}
    assert writing - tried == set()


@pytest.mark.parametrize("command", WRITERS)
def test_a_place_that_cannot_be_written_is_one_line_before_any_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "clip.mp4"
    file.write_text("kept")
    out = file / "out"  # below a file nobody can write, not even root
    words = [word.format(file=file, out=out, folder=tmp_path) for word in command.split()]
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert "cannot be written" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "out/report.json")

    monkeypatch.setattr("tasks.info.run.run", full)
    assert cli.main(["info"]) == 2
    expected = "vab info: out/report.json: No space left on device; check the disk and the permissions\n"
    assert capsys.readouterr().err == expected
