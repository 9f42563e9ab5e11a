"""``vab demo train``: the stages of each codec's system and what they are given; the training itself is elsewhere."""

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
from tasks.demo.training.options import Amounts, CodecOptions, SpectralCodecOptions, SyncOptions, TowerOptions
from tasks.options import read_options
from vab import media
from vab.codecs import SpectralCodec, SpectralConfig, load_codec
from vab.config import from_dict
from vab.errors import WeightsError


@pytest.mark.parametrize("codec", ["dac", "encodec"])
def test_the_models_of_a_system_are_trained_in_order_and_go_together(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix = "" if codec == "dac" else "-encodec"
    bundle = tmp_path / "bundle"
    for there in (
        tmp_path / "corpus/manifest.csv",
        bundle / f"demo-codec{suffix}.safetensors",
        bundle / "demo-clip.safetensors",
        tmp_path / f"features{suffix}.done",
    ):
        there.parent.mkdir(parents=True, exist_ok=True)
        there.touch()
    given: list[Any] = []

    def pretend(options: Any) -> int:
        given.append(options)
        options.out.mkdir()
        name = "encoder.safetensors" if type(options).__name__ == "AdaptOptions" else "model.safetensors"
        write_tiny_model(options.out / name)
        return 0

    for name in ("pretrain", "adapt", "finetune"):
        monkeypatch.setattr(train, name, pretend)
    assert cli.main(["demo", "train", "--codec", codec, "--seed", "3", "-o", str(tmp_path)]) == 0

    stages = {"dac": ["refiner", "vab", "search", "classes"], "encodec": ["vab-encodec"]}[codec]
    assert [options.out.name for options in given] == stages
    store = tmp_path / f"store{suffix}"
    for options in given:
        assert options.store in (store, [store])
        assert options.training.seed == 3 and options.resume
    pretrained = given[:2] if codec == "dac" else given
    assert {options.codec_weights for options in pretrained} == {
        str(bundle / f"demo-codec{suffix}.safetensors")
    }
    if codec == "dac":
        assert given[1].refiner == bundle / "demo-refiner.safetensors"
        assert given[2].weights == given[3].init == str(bundle / "demo-vab.safetensors")
        assert given[3].freeze
    for made in {"dac": ("refiner", "vab", "search", "classes"), "encodec": ("vab",)}[codec]:
        assert (bundle / f"demo-{made}{suffix}.safetensors").is_file()
    assert cli.main(["demo", "train", "--codec", codec, "--seed", "3", "-o", str(tmp_path)]) == 0
    assert len(given) == len(stages)  # what is there is not made again


def test_the_spectral_codec_is_trained_on_recordings_too_and_its_models_fit_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(train, "pretrain", lambda options: given.append(options) or 1)
    monkeypatch.setattr(train.material, "waveforms", lambda *_: np.zeros((2, 40_000), np.int16))
    media.write_audio(tmp_path / "real" / "a.wav", [0.1 * torch.randn(1, 40_000)], 16_000)
    recipe = train.Recipe(
        TrainOptions(
            codec="spectral", quick=True, recordings=[tmp_path / "real"], output=tmp_path, device="cpu"
        )
    )
    recipe.amounts.training["max_steps"] = 2
    monkeypatch.setattr(train, "from_dict", lambda *_, **__: SpectralConfig(width=16))  # quick to train
    recipe.spectral_codec()
    codec = load_codec(str(recipe.weights("codec")))
    assert isinstance(codec, SpectralCodec)
    with pytest.raises(WeightsError):
        recipe.refiner()  # the pretraining above is pretended and writes nothing
    assert given[0].model["codebook_dim"] == codec.codebook_dim
    assert given[0].codec_weights == str(recipe.weights("codec"))


@pytest.mark.parametrize(
    "name", ["codec/demo", "codec/demo_encodec", "codec/demo_spectral", "visual/demo", "visual/demo_sync"]
)
def test_the_configurations_of_codec_and_tower_are_valid(name: str) -> None:
    types = {
        "visual/demo": TowerOptions,
        "visual/demo_sync": SyncOptions,
        "codec/demo_spectral": SpectralCodecOptions,
    }
    options: Any = read_options(
        types.get(name, CodecOptions),
        train.CONFIGS / f"{name}.yaml",
        {"training": {"max_steps": 7}},
    )
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
    for there in ("corpus/manifest.csv", "features.done", "features-encodec.done"):
        (tmp_path / there).parent.mkdir(exist_ok=True)
        (tmp_path / there).touch()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for kind in ("codec", "clip", "refiner", "vab", "search", "classes", "codec-encodec", "vab-encodec"):
        (bundle / f"demo-{kind}.safetensors").touch()
    words = ["demo", "train", "-o", str(tmp_path)]
    assert cli.main([*words, "--quick"]) == 0
    assert cli.main([*words, "--quick", "--codec", "encodec"]) == 0  # both systems share a folder
    capsys.readouterr()
    for others in ([], ["--quick", "--seed", "1"]):
        assert cli.main([*words, *others]) == 2
        error = capsys.readouterr().err
        assert "--seed 0 --quick" in error and str(tmp_path) in error.replace("\n", "")
