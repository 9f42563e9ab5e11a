"""``vab demo train``: the stages and what they are given; the training itself is elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tiny import write_tiny_model

from tasks import cli
from tasks.demo import train
from tasks.demo.options import TrainOptions
from tasks.demo.training.options import Amounts, CodecOptions, SyncOptions, TowerOptions
from tasks.options import read_options
from vab import media
from vab.codecs import SpectralCodec, SpectralConfig, load_codec
from vab.config import from_dict, read_yaml
from vab.features.manifest import read_manifest


@pytest.mark.parametrize("recordings", [False, True])
def test_the_models_are_trained_in_order_and_go_together(
    recordings: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    _touch(tmp_path, ["corpus/manifest.csv", "features.done"])
    _touch(bundle, [f"{name}.safetensors" for name in ("spectral-16khz", "demo-clip", "demo-sync")])
    given: list[Any] = []

    def pretend(options: Any) -> int:
        given.append(options)
        options.out.mkdir()
        name = "encoder.safetensors" if type(options).__name__ == "AdaptOptions" else "model.safetensors"
        write_tiny_model(options.out / name)
        return 0

    for name in ("pretrain", "adapt", "finetune"):
        monkeypatch.setattr(train, name, pretend)
    extracted: list[Any] = []
    monkeypatch.setattr(train, "extract", lambda options: extracted.append(options) or 0)
    words = ["demo", "train", "--seed", "3", "-o", str(tmp_path)]
    words += ["--recordings", "real"] * recordings
    assert cli.main(words) == 0

    first = ["refiner", "vab", "v-aura", "search", "classes", "maskvat"]
    tiva = ["tiva-predictor", "tiva-generator", "tiva-joint"]
    assert [options.out.name for options in given] == [*first, *tiva]
    by_name = {options.out.name: options for options in given}
    store, real = tmp_path / "store", tmp_path / "store-recordings"
    stores = {name: [store] for name in by_name} | {"vab": [store, real][: 1 + recordings], "classes": store}
    assert {name: options.store for name, options in by_name.items()} == stores
    for options in given:
        assert options.training.seed == 3 and options.resume
    codecs = {by_name[name].codec_weights for name in by_name if name not in ("search", "classes")}
    assert codecs == {str(bundle / "spectral-16khz.safetensors")}
    assert by_name["vab"].refiner == bundle / "demo-refiner.safetensors"
    assert by_name["search"].weights == by_name["classes"].init == str(bundle / "demo-vab.safetensors")
    assert by_name["classes"].freeze
    inits = [[], *([str(tmp_path / name / "model.safetensors")] for name in tiva[:2])]
    assert [by_name[name].init for name in tiva] == inits
    added = [(options.add, options.encoder, options.maker) for options in extracted]
    assert added == [
        ("sync", str(bundle / "demo-sync.safetensors"), {}),
        ("sync", str(bundle / "demo-sync.safetensors"), {}),
        ("demo-audio", None, {"weights": str(bundle / "demo-search.safetensors")}),
        ("clip-layers", f"layers:{bundle / 'demo-clip.safetensors'}", {}),
        ("latents", None, {"autoencoder": str(bundle / "spectral-16khz.safetensors")}),
        ("layout", None, {}),
    ]
    for made in (*first, "tiva"):
        assert (bundle / f"demo-{made}.safetensors").is_file()
    num_trained = len(given)
    assert cli.main(words) == 0
    assert len(given) == num_trained  # what is there is not made again


def test_codec_and_features_take_the_recordings_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(train, "extract", lambda options: given.append(options) or 0)
    monkeypatch.setattr(train.material, "waveforms", lambda *_: np.zeros((2, 40_000), np.int16))
    for name, length in (("short", 40_000), ("long", 80_000)):
        media.write_audio(tmp_path / "real" / f"{name}.wav", [0.1 * torch.randn(1, length)], 16_000)
    recipe = train.Recipe(
        TrainOptions(quick=True, recordings=[tmp_path / "real"], output=tmp_path, device="cpu")
    )
    recipe.amounts.training["max_steps"] = 2
    monkeypatch.setattr(train, "from_dict", lambda *_, **__: SpectralConfig(width=16))  # quick to train
    recipe.codec()
    assert isinstance(load_codec(str(recipe.codec_weights)), SpectralCodec)
    recipe.features()
    assert [options.store for options in given] == recipe.stores
    [clip] = read_manifest(Path(given[1].inputs[0]))
    assert clip.path.name == "long.wav"


def test_the_demo_models_fit_the_codec() -> None:
    network = read_yaml(train.CONFIGS / "codec" / "demo.yaml")["network"]
    codec = from_dict(SpectralConfig, network, source="network")
    for name in ("vab", "coarse_to_fine"):
        model = read_yaml(train.CONFIGS / name / "demo.yaml")["model"]
        assert model["codebook_dim"] == codec.codebook_dim
        assert model["codebook_size"] == codec.codebook_size


@pytest.mark.parametrize(
    ("name", "kind"),
    [("codec/demo", CodecOptions), ("visual/demo", TowerOptions), ("visual/demo_sync", SyncOptions)],
)
def test_the_configurations_of_codec_and_encoders_are_valid(name: str, kind: Any) -> None:
    options = read_options(kind, train.CONFIGS / f"{name}.yaml", {"training": {"max_steps": 7}})
    assert options.training.max_steps == 7 and options.training.batch_size > 1
    assert options.network


def test_a_quick_run_makes_little_of_everything() -> None:
    full, quick = (
        from_dict(Amounts, yaml.safe_load((train.CONFIGS / f"demo/{name}.yaml").read_text()), source=name)
        for name in ("full", "quick")
    )
    assert full.num_clips.keys() == quick.num_clips.keys()
    assert not full.training and quick.training["max_steps"] < 100


def test_a_folder_of_one_run_is_not_gone_on_with_as_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _touch(tmp_path, ["corpus/manifest.csv", "features.done"])
    models = [
        f"demo-{kind}.safetensors"
        for kind in ("clip", "refiner", "vab", "sync", "v-aura", "search", "classes", "maskvat", "tiva")
    ]
    _touch(tmp_path / "bundle", ["spectral-16khz.safetensors", *models])
    words = ["demo", "train", "-o", str(tmp_path)]
    assert cli.main([*words, "--quick"]) == 0
    capsys.readouterr()
    for others in ([], ["--quick", "--seed", "1"]):
        assert cli.main([*words, *others]) == 2
        error = capsys.readouterr().err
        assert "--seed 0 --quick" in error and str(tmp_path) in error.replace("\n", "")


def _touch(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
