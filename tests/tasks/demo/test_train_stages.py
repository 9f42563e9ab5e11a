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

    assert [options.out.name for options in given] == ["refiner", "vab", "search", "classes", "maskvat"]
    store, real = tmp_path / "store", tmp_path / "store-recordings"
    both = [store, real][: 1 + recordings]
    assert [options.store for options in given] == [[store], both, [store], store, [store]]
    for options in given:
        assert options.training.seed == 3 and options.resume
    codecs = {options.codec_weights for options in (*given[:2], given[4])}
    assert codecs == {str(bundle / "spectral-16khz.safetensors")}
    assert given[1].refiner == bundle / "demo-refiner.safetensors"
    assert given[2].weights == given[3].init == str(bundle / "demo-vab.safetensors")
    assert given[3].freeze
    assert [(options.store, options.add) for options in extracted] == [(store, "sync"), (store, "demo-audio")]
    assert extracted[0].encoder == str(bundle / "demo-sync.safetensors")
    assert extracted[1].maker == {"weights": str(bundle / "demo-search.safetensors")}
    for made in ("refiner", "vab", "search", "classes", "maskvat"):
        assert (bundle / f"demo-{made}.safetensors").is_file()
    assert cli.main(words) == 0
    assert len(given) == 5  # what is there is not made again


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
        for kind in ("clip", "refiner", "vab", "sync", "search", "classes", "maskvat")
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
