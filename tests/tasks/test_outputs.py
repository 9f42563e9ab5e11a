"""Commands that write beside files never write over what they read."""

from __future__ import annotations

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
    "pretrain --store nowhere --refiner {file} --out {folder} --training.max_steps 1",
    "evaluate generation --generated {folder} --reference {folder} -o {file}",
    "evaluate retrieval --store {folder} -o {file}",
    "evaluate tokens --store {folder} -o {file}",
    "evaluate list --source {file} -o {file}",
    "evaluate answers {file} --key {folder}/key.json -o {file}",
]
NAMES = {
    "refine": "codes.npy",
    "extract": "missing.txt",
    "embed": "clip.json",
    "pretrain": "model.safetensors",
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
    assert list(tmp_path.iterdir()) == [file]
