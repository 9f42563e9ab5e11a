"""``docs/adding-a-model.md`` as written: its files installed as another package, its commands run in order."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from tasks import cli
from vab.checkpoint import load_tensors
from vab.models import model_names

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files in a folder, its package as installed."""
    source = tmp_path / "source"
    for name, text in FILE.findall(PAGE.read_text()):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    # What pip would write, without its seconds: the entry points of the page's own pyproject.toml.
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    site = tmp_path / "site"
    shutil.copytree(source / "nexttoken", site / "nexttoken")
    info = site / f"vab_nexttoken-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    return source


def test_the_page_runs_as_written(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nexttoken" in model_names()
    monkeypatch.chdir(package)
    [commands] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = commands.splitlines()
    assert [line.split()[1] for line in lines] == ["demo", "extract", "pretrain", "generate", "evaluate"]
    for line in lines:
        assert cli.main(shlex.split(line)[1:]) == 0, line

    header = load_tensors(Path("run/model.safetensors"))[1]
    assert header["type"] == "nexttoken"
    assert set(header["components"]) == {"codes", "clip"}
    assert header["sampling"] == {"temperature": 0.9, "top_k": 32}
    [settings, *_] = [json.loads(path.read_text()) for path in Path("generated").glob("*.json")]
    assert settings["sampling"] == {"temperature": 0.9, "top_k": 8}


def test_options_that_the_model_lacks_are_refused_by_name(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(package)
    words = ["pretrain", "--config", "model.yaml", "--store", "store", "--out", "run"]
    for option, known in (
        ("--model.depth", "width, num_heads"),
        ("--objective.mask_ratio", "label_smoothing"),
        ("--sampling.num_steps", "temperature, top_k"),
    ):
        assert cli.main([*words, option, "3"]) == 2
        error = capsys.readouterr().err
        assert f"no option {option.split('.')[1]}; known: {known}" in error
        assert error.count("\n") == 1
