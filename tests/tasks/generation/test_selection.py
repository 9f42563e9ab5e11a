"""Best of several soundtracks: one file, the seed of the best, and the same sound as that seed alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_clip, write_tiny_model

import vab
from tasks import cli
from tasks.generation.selection import AgreementSelector, Choice
from vab import media
from vab.pipeline import Generation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("selection")
    write_tiny_model(path / "model.safetensors")
    for index in range(2):
        write_tiny_clip(path / "clips" / f"clip{index}.mp4", 1.0, seed=index)
    return path


def generate(folder: Path, out: str, *more: str) -> int:
    words = ["generate", str(folder / "clips"), "-o", str(folder / out), "--device", "cpu"]
    return cli.main([*words, "--weights", str(folder / "model.safetensors"), "--audio-only", "flac", *more])


class Loudest:
    """Stands for a trained embedder: random weights hear no difference."""

    provenance = {"weights_sha256": "0"}  # noqa: RUF012

    def __init__(self, weights: str, *, device: str) -> None:
        assert weights == "some.safetensors"

    def choose(self, video: Path, seconds: float, candidates: list[Generation]) -> Choice:
        levels = [candidate.waveform.abs().mean().item() for candidate in candidates]
        return Choice(levels.index(max(levels)), levels)


def test_the_best_is_kept_and_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.generation.run.AgreementSelector", Loudest)
    judge = ["--select", "agreement", "--select-weights", "some.safetensors"]
    assert generate(folder, "best", "--num-samples", "3", *judge) == 0
    assert generate(folder, "all", "--num-samples", "3") == 0
    assert len(list((folder / "best").glob("*.flac"))) == 2
    for name in ("clip0", "clip1"):
        settings = json.loads((folder / "best" / f"{name}.flac.json").read_text())
        levels = settings["selection"]["agreements"]
        assert len(set(levels)) == 3
        assert settings["seed"] == levels.index(max(levels))
        assert settings["selection"]["weights_sha256"]
        kept = media.read_audio(folder / "best" / f"{name}.flac", 16_000)
        alone = media.read_audio(folder / "all" / f"{name}-{settings['seed']}.flac", 16_000)
        assert torch.equal(kept, alone)
    assert "selection" not in json.loads((folder / "all" / "clip0-0.flac.json").read_text())


@dataclass
class Made:
    """A generated sound that is known."""

    waveform: torch.Tensor
    sample_rate: int = 16_000

    @property
    def num_samples(self) -> int:
        return self.waveform.shape[1]

    def pieces(self) -> Iterator[torch.Tensor]:
        yield self.waveform


def test_agreement_is_the_cosine_of_the_embeddings(folder: Path) -> None:
    video = folder / "clips" / "clip0.mp4"
    noise = 0.5 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    sounds = [torch.zeros(1, 16_000), noise]
    weights = str(folder / "model.safetensors")
    candidates = [Generation(Made(sound), video, {}) for sound in sounds]
    choice = AgreementSelector(weights, device="cpu").choose(video, 1.0, candidates)
    pipeline = vab.load(weights, device="cpu")
    pictures = pipeline.embed_video(video, duration=1.0)
    expected = [(pipeline.embed_audio(sound) @ pictures).item() for sound in sounds]
    assert choice.agreements == pytest.approx(expected)
    assert expected[0] != expected[1]
    assert choice.index == expected.index(max(expected))


def test_one_sound_is_no_choice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(folder, "none", "--select", "agreement") == 2
    assert "--select agreement chooses among several soundtracks" in capsys.readouterr().err
