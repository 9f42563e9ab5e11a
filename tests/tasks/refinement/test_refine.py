"""``vab refine`` and ``vab evaluate refinement`` by their commands, on a stage with random weights; and 44.1 kHz."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import write_tiny_clip, write_tiny_refiner

import vab
from tasks import cli
from tasks.refinement import evaluate
from vab import media
from vab.checkpoint import load_tensors
from vab.codecs import DacConfig, load_codec, save_codec
from vab.codecs.loading import random_codec
from vab.features.store import FeatureStore
from vab.visual import load_encoder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage of one given and three made levels of the tiny codec."""
    return write_tiny_refiner(tmp_path_factory.mktemp("weights") / "fine.safetensors")


def test_sound_frames_and_codes_are_refined(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_tiny_clip(tmp_path / "clip.mp4", 1.3)
    sound = tmp_path / "sound.wav"
    media.write_audio(sound, [0.1 * torch.randn(1, 20000)], 16000)
    out = tmp_path / "out"
    words = ["refine", str(clip), str(sound), "-o", str(out), "--weights", str(weights), "--device", "cpu"]
    assert cli.main(words) == 0
    assert media.read_audio(out / "sound.wav", 16000).shape == (1, 20000)
    settings = json.loads((out / "clip.wav.json").read_text())
    assert settings["has_frames"] and settings["sampling"]["num_steps"] == 2

    before = (out / "sound.wav").stat().st_mtime_ns
    assert cli.main(words) == 0
    assert (out / "sound.wav").stat().st_mtime_ns == before
    assert "2 there already" in capsys.readouterr().out
    assert cli.main([*words, "--seed", "5"]) == 2
    assert "sound.wav: was made with seed 0 instead of 5; add --overwrite" in capsys.readouterr().err.replace(
        "\n", " "
    )
    (out / "sound.wav.json").unlink()
    assert cli.main(words) == 2
    assert "sound.wav.json: cannot be read as JSON" in capsys.readouterr().err
    assert (out / "sound.wav").stat().st_mtime_ns == before

    assert cli.main([*words, "--format", "npy"]) == 0
    codes = np.load(out / "sound.npy")
    coarse = vab.load(weights, device="cpu").encode_audio(sound)[:1]
    assert codes.shape == (4, 63)
    assert np.array_equal(codes[:1], coarse.numpy())

    again = ["refine", str(out / "sound.npy"), "-o", str(tmp_path / "again"), "--weights", str(weights)]
    assert cli.main([*again, "--format", "npy", "--device", "cpu"]) == 0
    assert np.array_equal(np.load(tmp_path / "again" / "sound.npy"), codes)
    assert cli.main([*again, "--format", "npy", "--device", "cpu", "--seed", "5", "--overwrite"]) == 0
    assert not np.array_equal(np.load(tmp_path / "again" / "sound.npy"), codes)


def test_what_cannot_be_refined_is_a_line_each(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {
        "text.npy": b"no array",
        "text.wav": b"no sound",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "fractions.npy", np.zeros((4, 9)))
    np.save(tmp_path / "large.npy", np.full((4, 9), 64))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "good.npy", np.zeros((1, 9), np.int16))
    names = [*bad, "fractions.npy", "large.npy", "objects.npy", "missing.wav", "good.npy"]
    (tmp_path / "in").mkdir()
    files = []
    for name in names:  # stems differ
        files.append(str((tmp_path / name).rename(tmp_path / "in" / name.replace("text.", f"{name[-3:]}."))
                         if (tmp_path / name).exists() else tmp_path / name))  # fmt: skip
    words = ["refine", *files, "-o", str(tmp_path / "out"), "--weights", str(weights), "--device", "cpu"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.count("vab refine:") == len(names) - 1
    assert [path.name for path in (tmp_path / "out").glob("*.wav")] == ["good.wav"]
    assert cli.main(["refine", files[-1], files[-1], "--weights", str(weights)]) == 2
    assert "two folders" in capsys.readouterr().err


def _extract(folder: Path, *, codec: str, count: int, seconds: float, encoder: str = "tiny-clip") -> Path:
    rows = []
    for index in range(count):
        split = "train" if index < count - 2 else ("validation", "test")[index - count + 2]
        write_tiny_clip(folder / f"clip{index}.mp4", seconds, seed=index)
        rows.append(f"clip{index},clip{index}.mp4,{split}")
    (folder / "manifest.csv").write_text("\n".join(["id,path,split", *rows]) + "\n")
    words = ["extract", str(folder / "manifest.csv"), "--store", str(folder / "store"), "--codec", codec]
    words += ["--encoder", encoder, "--visual-fps", "5", "--clip-seconds", str(seconds), "--device", "cpu"]
    assert cli.main(words) == 0
    return folder / "store"


def test_what_refinement_gives_back_is_measured(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = _extract(tmp_path, codec="tiny-encodec", count=4, seconds=1.3)
    words = ["evaluate", "refinement", "--store", str(store), "--weights", str(weights), "--device", "cpu"]
    words += ["--split", "train", "--steps", "1", "2", "--batch-size", "2", "-o", str(tmp_path / "out")]
    assert cli.main(words) == 0
    document = json.loads((tmp_path / "out" / "refinement.json").read_text())
    assert document["conditions"]["num_clips"] == document["conditions"]["num_expected"] == 2
    systems = document["systems"]
    assert list(systems) == [
        "all 4 codebooks",
        "first 1 codebooks",
        "first 1 + coarse-to-fine, 1 steps",
        "first 1 + coarse-to-fine, 2 steps",
    ]
    assert all(each["log_mel"] > 0 and each["fdm"] > 0 for each in systems.values())
    *_, one, two = systems.values()
    assert one != two

    codec = load_codec("tiny-encodec")
    batch = FeatureStore(store).read([0])
    direct = codec.decode(batch.streams["codes"][:, :1, : int(batch.is_valid["codes"].sum())])[0].clamp(-1, 1)
    kept = media.read_audio(tmp_path / "out/sounds/coarse/clip0.flac", 16000)
    torch.testing.assert_close(kept, direct[:, : kept.shape[1]], atol=1e-3, rtol=0)

    sounds = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.flac")}
    assert cli.main(words) == 0
    assert sounds == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.flac")}
    assert cli.main([*words, "--seed", "1"]) == 2
    assert "another measurement" in capsys.readouterr().err


def test_the_share_of_a_gap_is_told_where_there_is_a_gap() -> None:
    systems = evaluate._systems(4, 1, [24, 36])
    numbers = [(2.0, 50.0), (4.0, 40.0), (3.5, 45.0), (1.0, 60.0)]
    metrics = {
        system.name: {"log_mel": log_mel, "fdm": fdm}
        for system, (log_mel, fdm) in zip(systems, numbers, strict=True)
    }
    evaluate._add_shares(metrics, systems)
    assert [each.get("log_mel_gap_closed") for each in metrics.values()] == [None, None, 0.25, 1.5]
    assert not any("fdm_gap_closed" in each for each in metrics.values())


@pytest.mark.slow
def test_another_rate_goes_the_whole_way_by_configuration_alone(tmp_path: Path) -> None:
    """44.1 kHz, 86.13 steps a second, 9 levels: extract, pretrain both stages, generate, refine."""
    codec = random_codec(
        DacConfig(
            sample_rate=44_100,
            encoder_dim=2,
            encoder_rates=(2, 4, 8, 8),
            decoder_dim=16,
            decoder_rates=(8, 8, 4, 2),
            num_codebooks=9,
            codebook_size=32,
        )
    )
    save_codec(codec, tmp_path / "dac44.safetensors", dtype=torch.float32)
    store = _extract(tmp_path, codec=str(tmp_path / "dac44.safetensors"), count=6, seconds=2.0)
    assert FeatureStore(store).info.num_steps("codes") == 173
    assert FeatureStore(store).read([0]).streams["codes"].shape == (1, 9, 173)

    sizes = {
        "num_layers": 1,
        "num_encoder_layers": 1,
        "width": 16,
        "num_heads": 2,
        "codebook_size": 32,
        "codebook_dim": 8,
    }
    sizes |= {"frame_rate": 44100 / 512, "visual_dim": load_encoder("tiny-clip").embed_dim, "visual_fps": 5.0}
    shared = [
        "--store",
        str(store),
        "--codec-weights",
        str(tmp_path / "dac44.safetensors"),
        "--device",
        "cpu",
    ]
    shared += ["--training.max_steps", "2", "--training.batch_size", "2", "--training.validate_every", "2"]
    shared += ["--training.precision", "32", "--data.crop_seconds", "1", "--sampling.num_steps", "2"]

    def pretrain(name: str, more: dict[str, object], *words: str) -> Path:
        flags = [str(word) for key, value in (sizes | more).items() for word in (f"--model.{key}", value)]
        assert cli.main(["pretrain", *shared, "--out", str(tmp_path / name), *flags, *words]) == 0
        return tmp_path / name / "model.safetensors"

    fine = pretrain("fine", {"num_codebooks": 9, "num_given_codebooks": 4}, "--type", "vab-refiner")
    model = pretrain("coarse", {"num_codebooks": 4}, "--refiner", str(fine))
    assert load_tensors(model)[1]["components"]["refiner"]["name"] == "fine"
    (tmp_path / "dac44.safetensors").rename(tmp_path / "coarse" / "dac44.safetensors")

    clip = tmp_path / "clip5.mp4"
    words = ["generate", str(clip), "-o", str(tmp_path / "out.wav"), "--audio-only", "wav"]
    assert cli.main([*words, "--weights", str(model), "--device", "cpu"]) == 0
    assert media.read_audio(tmp_path / "out.wav", 44100).shape[1] == round(media.probe(clip).duration * 44100)
    words = ["refine", str(clip), "-o", str(tmp_path / "refined"), "--weights", str(model), "--device", "cpu"]
    assert cli.main([*words, "--format", "npy"]) == 0
    assert np.load(tmp_path / "refined" / "clip5.npy").shape == (9, 173)
