"""TiVA end to end at toy size: streams added, three stages, a layout that is predicted, edited and followed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import extract_tiny, write_tiny_clip, write_tiny_model
from tiny_tiva import TINY_LAYERS, tiny_tiva_config

import vab
from tasks import cli
from vab import media
from vab.audio.layout import Layout
from vab.config import to_dict
from vab.errors import ConfigError, WeightsError
from vab.features.store import FeatureStore

SIZES = to_dict(tiny_tiva_config())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiva")
    for number in range(4):
        write_tiny_clip(folder / "clips" / f"clip{number}.mp4", 2.0, seed=number)
    store = extract_tiny(folder / "clips", folder / "store", 2.0)
    for name, words in (
        ("latents", ["--maker.autoencoder", "tiny-spectral"]),
        ("layout", ["--maker.rate", "10"]),
        ("clip-layers", ["--encoder", TINY_LAYERS, "--visual-fps", "5"]),
    ):
        assert cli.main(["extract", "--store", str(store), "--add", name, *words]) == 0
    return store


def pretrain(store: Path, out: Path, type_: str, sizes: object, *words: str) -> Path:
    config = out.parent / f"{out.name}.yaml"
    training = {
        "max_steps": 3,
        "batch_size": 2,
        "precision": "32",
        "validate_every": 3,
        "learning_rate": 1e-3,
    }
    config.write_text(
        json.dumps({"type": type_, "model": sizes, "training": training, "data": {"crop_seconds": 1.0}})
    )
    command = ["pretrain", "--config", str(config), "--store", str(store), "--out", str(out)]
    assert cli.main([*command, "--device", "cpu", *words]) == 0
    return out / "model.safetensors"


@pytest.fixture(scope="module")
def stages(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stages")
    predictor = pretrain(store, folder / "predictor", "tiva-predictor", SIZES["predictor"])
    given = ("--objective.layout", "given", "--data.num_logged_clips", "1", "--sampling.num_steps", "3")
    generator = pretrain(store, folder / "generator", "tiva", SIZES, "--init", str(predictor), *given)
    weight = ("--objective.layout_weight", "1.0", "--sampling.num_steps", "3")
    joint = pretrain(store, folder / "joint", "tiva", SIZES, "--init", str(generator), *weight)
    return {"predictor": predictor, "generator": generator, "joint": joint}


def test_the_streams_are_there(store: Path) -> None:
    streams = FeatureStore(store).info.streams
    assert {name: (stream.rate, stream.shape) for name, stream in streams.items()} == {
        "codes": (50.0, (4,)),
        "clip": (5.0, (32,)),
        "latents": (50.0, (8,)),
        "layout": (10.0, (5,)),
        "clip-layers": (5.0, (10, 32)),
    }


def test_each_stage_begins_with_the_one_before(
    stages: dict[str, Path], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor, generator, joint = (
        vab.models.files.load_model(path)[0].state_dict() for path in stages.values()
    )
    kept = {name.removeprefix("predictor."): name for name in generator if name.startswith("predictor.")}
    assert all(torch.equal(predictor[name], generator[whole]) for name, whole in kept.items())
    assert any(not torch.equal(generator[whole], joint[whole]) for whole in kept.values())
    card = vab.models.files.load_model(stages["joint"])[1]
    assert len(card.provenance["init"]) == 1
    words = [
        "--store",
        str(store),
        "--out",
        str(stages["joint"].parent / "x"),
        "--init",
        str(stages["generator"]),
    ]
    assert cli.main(["pretrain", "--type", "vab", "--training.max_steps", "1", *words]) == 2
    assert "\n" not in capsys.readouterr().err.strip()


@pytest.mark.parametrize("seconds", [0.4, 1.0, 2.7])
def test_sound_of_any_length(stages: dict[str, Path], tmp_path: Path, seconds: float) -> None:
    clip = write_tiny_clip(tmp_path / "clip.mp4", seconds, has_sound=False)
    words = ["generate", str(clip), "-o", str(tmp_path / "out"), "--weights", str(stages["joint"])]
    assert cli.main(words) == 0
    made = tmp_path / "out" / "clip.mp4"
    assert media.probe(made).duration == pytest.approx(media.probe(clip).duration, abs=0.05)
    assert media.read_audio(made, 16000).abs().max() > 0


def test_a_layout_is_predicted_edited_and_followed(
    stages: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_tiny_clip(tmp_path / "clip.mp4", 2.7)
    weights = str(stages["joint"])
    path = tmp_path / "layout.json"
    for output in (path, tmp_path / "layout.png"):
        assert cli.main(["layout", str(clip), "--weights", weights, "-o", str(output)]) == 0
    layout = Layout.read(path)
    assert layout.values.shape == (27, 5) and layout.rate == 10.0

    def sound(**given: object) -> torch.Tensor:
        return vab.load(weights).generate(clip, **given).waveform  # type: ignore[arg-type]

    own = sound()
    pipeline = vab.load(weights)
    predicted = pipeline.predict_conditions(clip)["layout"]
    torch.testing.assert_close(sound(conditions={"layout": predicted}), own)
    edited = predicted.clone()
    edited[20:] = 1.0 - edited[20:]
    changed = sound(conditions={"layout": edited})
    assert not torch.allclose(changed, own, atol=1e-4)
    with pytest.raises(ConfigError, match="takes no condition clip; known: clip-layers, layout"):
        sound(conditions={"clip": predicted})
    with pytest.raises(ValueError, match=r"a layout is \[rows, 5\]"):
        sound(conditions={"layout": predicted[:, :3]})

    Layout(edited, 10.0).write(path)
    words = ["generate", str(clip), "-o", str(tmp_path / "out"), "--weights", weights, "--audio-only", "wav"]
    assert cli.main([*words, "--layout", str(path)]) == 0
    assert "given_conditions" in (tmp_path / "out" / "clip.wav.json").read_text()
    followed = media.read_audio(tmp_path / "out" / "clip.wav", 16000)
    assert (followed - changed).abs().max() < 0.05
    capsys.readouterr()
    assert cli.main(words) == 2, "a result that followed a layout is not taken for one that did not"
    assert "given_conditions" in capsys.readouterr().err


def test_the_layout_of_a_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_tiny_clip(tmp_path / "clip.mp4", 1.5)
    output = tmp_path / "layout.json"
    assert cli.main(["layout", "--audio", str(clip), "--rate", "20", "--bands", "8", "-o", str(output)]) == 0
    assert Layout.read(output).values.shape == (30, 8)
    assert cli.main(["layout", str(clip), "--audio", str(clip)]) == 2
    assert "give one video, or --audio" in capsys.readouterr().err


def test_weights_without_a_layout_say_so(stages: dict[str, Path], tmp_path: Path) -> None:
    clip = write_tiny_clip(tmp_path / "clip.mp4", 1.0)
    with pytest.raises(WeightsError, match="predicts no condition"):
        vab.load(str(write_tiny_model(tmp_path / "vab.safetensors"))).predict_conditions(clip)
    with pytest.raises(WeightsError, match="makes no audio"):
        vab.load(str(stages["predictor"])).predict_conditions(clip)


def test_long_videos_keep_their_windows_apart(stages: dict[str, Path]) -> None:
    """What follows much later changes nothing before, and windows meet without a jump of the noise."""
    pipeline = vab.load(str(stages["joint"]))
    generator = pipeline.generator
    features = torch.from_numpy(np.random.default_rng(0).standard_normal((30, 10, 32)).astype(np.float32))
    options = pipeline.sampling_options()
    layout = torch.rand(60, 5)
    settings = {"options": options, "seeds": [3], "batch_size": 1}
    long, short = (
        generator.generate(
            [{"clip-layers": features, "layout": layout[: round(10 * seconds)]}], [seconds], **settings
        )[0]
        for seconds in (6.0, 1.0)
    )
    assert long.latents.shape == (300, 8)  # type: ignore[attr-defined]
    torch.testing.assert_close(long.latents[:25], short.latents[:25])  # type: ignore[attr-defined]
