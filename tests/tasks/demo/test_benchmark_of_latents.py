"""The benchmark of a model that makes latents and follows a layout."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import extract_tiny, write_tiny_model
from tiny_tiva import TINY_LAYERS, tiny_predictor_config, tiny_tiva_config, write_tiny_tiva

from tasks import cli
from tasks.demo.benchmark import ablation, material
from tasks.demo.benchmark.layouts import EDITS, SHIFT
from tasks.demo.benchmark.material import BenchmarkClip
from tasks.pretraining.options import PretrainOptions
from vab.audio.layout import Layout
from vab.audio.loading import load_autoencoder
from vab.config import to_dict, with_changes
from vab.features.store import FeatureStore
from vab.models import find_model
from vab.models.files import Component, ModelCard, save_model


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foley")
    corpus = folder / "corpus"
    assert cli.main(["demo", "corpus", "--clips", "4", "--split", "test", "-o", str(corpus)]) == 0
    store = extract_tiny(corpus / "manifest.csv", folder / "store", 10.0)
    words = ["--add", "clip-layers", "--encoder", TINY_LAYERS, "--visual-fps", "5"]
    assert cli.main(["extract", "--store", str(store), *words]) == 0
    for name in ("layout", "onset-curve", "onsets"):
        assert cli.main(["extract", "--store", str(store), "--add", name]) == 0
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


def write_toy(options: PretrainOptions) -> int:
    """In place of a training: random weights at toy size, with what the options change."""
    is_whole = options.type == "tiva"
    given = options.model["predictor"] if is_whole else options.model
    names = ("layout_stream", "layout_bands", "attention", "class_layers")
    changes = {name: given.get(name) for name in names}
    predictor = with_changes(tiny_predictor_config(), changes, source="model")
    config = replace(tiny_tiva_config(), predictor=predictor) if is_whole else predictor
    store = FeatureStore(options.store[0])
    components = {name: store.stream(name) for name in predictor.streams}
    autoencoder = load_autoencoder("tiny-spectral")
    card = ModelCard(
        options.type,
        to_dict(config),
        {name: Component(made.maker, made.fingerprint) for name, made in components.items()}
        | ({"latents": Component(autoencoder.name, autoencoder.fingerprint)} if is_whole else {}),
        window_seconds=1.0,
        provenance={"options": {"objective": options.objective}},
    )
    options.out.mkdir(parents=True, exist_ok=True)
    save_model(options.out / "model.safetensors", find_model(options.type).model(config), card)
    return 0


def test_generators_are_compared_on_what_they_are_to_follow(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[BenchmarkClip]] = []

    def perfect(name: str, clips: list[BenchmarkClip], *_: Any, **__: Any) -> list[torch.Tensor]:
        given.append(clips)
        return [clip.waveform for clip in clips]

    monkeypatch.setattr(ablation, "pretrain", write_toy)
    monkeypatch.setattr(ablation, "generate", perfect)
    words = ["--store", str(store), "--clips", "3", "--classifier-clips", "36", "-o", str(tmp_path)]
    assert cli.main(["evaluate", "ablation", "tiva_layout", *words]) == 0
    document = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["value"] for row in document["rows"]] == ["layout", "onset-curve", "onsets", "none"]
    assert all(row["onset_curves"] == {"wasserstein": 0.0, "dtw": 0.0} for row in document["rows"])
    assert document["conditions"]["num_clips"] == 3 and document["conditions"]["sampling"]["num_steps"] == 25
    opened = FeatureStore(store)
    indices = material.held_out(opened, 3)
    for clips, stream, scale in zip(
        given, ("layout", "onset-curve", "onsets", "layout"), (1, 1, 1, 0), strict=True
    ):
        rows = opened.read(indices, [stream]).streams[stream]
        for clip, expected in zip(clips, rows, strict=True):
            assert torch.equal(clip.conditions["layout"], scale * expected)
    assert all(clips[0].conditions["layout"].any() for clips in given[:3])


def test_predictors_are_compared_by_the_error_of_their_layouts(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablation, "pretrain", write_toy)
    words = ["--store", str(store), "--clips", "3", "-o", str(tmp_path)]
    assert cli.main(["evaluate", "ablation", "tiva_predictor", *words]) == 0
    document = json.loads((tmp_path / "ablation.json").read_text())
    rows = document["rows"]
    assert [row["value"] for row in rows] == ["one_layer", "everywhere", "near", "everywhere_near", "patches"]
    assert len({row["prediction"]["loss_of_mean"] for row in rows}) == 1
    assert len({row["prediction"]["loss"] for row in rows}) == 5
    assert document["conditions"]["codec"] is None and document["conditions"]["sampling"] is None
    assert "mean layout's" in capsys.readouterr().out


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
