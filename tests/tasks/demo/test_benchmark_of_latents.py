"""The benchmark of a model that makes latents and follows a layout."""

import json
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_model
from tiny_tiva import TINY_LAYERS, write_tiny_tiva

from tasks import cli
from tasks.demo.benchmark.layouts import EDITS, SHIFT
from vab.audio.layout import Layout


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foley")
    corpus, store = folder / "corpus", folder / "store"
    assert cli.main(["demo", "corpus", "--clips", "4", "--split", "test", "-o", str(corpus)]) == 0
    words = ["--codec", "tiny-encodec", "--encoder", "tiny-clip", "--visual-fps", "5", "--clip-seconds", "10"]
    assert cli.main(["extract", str(corpus / "manifest.csv"), "--store", str(store), *words]) == 0
    words = ["--add", "clip-layers", "--encoder", TINY_LAYERS, "--visual-fps", "5"]
    assert cli.main(["extract", "--store", str(store), *words]) == 0
    return store


def test_the_benchmark_and_edited_layouts(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_tiny_tiva(tmp_path / "tiva.safetensors")
    words = ["--weights", str(weights), "--store", str(store), "--clips", "4", "-o", str(tmp_path)]
    assert cli.main(["evaluate", "demo", *words, "--classifier-clips", "36", "--steps", "1"]) == 0
    document = json.loads((tmp_path / "benchmark.json").read_text())
    assert document["conditions"]["codec"] == "tiny-spectral" and document["conditions"]["visual_fps"] == 5
    assert document["systems"]["generated"]["num_clips"]["class"] > 0
    assert document["seconds_a_clip"] > 0 and "codec" not in document and "tokens" not in document

    assert cli.main(["evaluate", "layout", *words]) == 0
    document = json.loads((tmp_path / "layout.json").read_text())
    assert document["edits"].keys() == {"erased", "moved", "added"}
    assert all(0 <= share <= 1 for row in document["edits"].values() for share in row.values())
    assert 1 <= document["conditions"]["num_clips"] <= 4
    sounds = list((tmp_path / "sounds").rglob("*/erased/*.flac"))
    assert len(sounds) == document["conditions"]["num_clips"]
    capsys.readouterr()
    vab = write_tiny_model(tmp_path / "vab.safetensors")
    assert cli.main(["evaluate", "layout", "--weights", str(vab), "--store", str(store)]) == 2
    assert "follows no layout" in capsys.readouterr().err
    assert cli.main(["evaluate", "demo", "--weights", str(weights), "-o", str(tmp_path / "x")]) == 2
    assert "takes clip-layers: give a --store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("erased", [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),
        ("moved", [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.5, 0.1, 0.1, 0.1, 0.1]),
        ("added", [0.1, 0.9, 0.5, 0.1, 0.1, 0.1, 0.9, 0.5, 0.1, 0.1, 0.1, 0.1]),
    ],
)
def test_an_edit_changes_one_event(name: str, expected: list[float]) -> None:
    values = torch.full((12, 1), 0.1)
    values[1:3, 0] = torch.tensor([0.9, 0.5])
    edited = EDITS[name].apply(Layout(values, 10.0), 0.1, 0.1 + SHIFT)
    assert edited.values[:, 0].tolist() == pytest.approx(expected)
