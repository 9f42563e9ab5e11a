"""Best of several soundtracks: one file, the seed of the best, and the same sound as that seed alone."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_clip, write_tiny_model
from toy_synchformer import synchformer_state

import vab
from tasks import cli
from vab import media
from vab.features.manifest import Clip
from vab.generation import Generation
from vab.metrics.spectra import log_mel_distance
from vab.metrics.synchformer_inputs import AV_BENCHMARK, V_AURA, View
from vab.pipeline import Pipeline
from vab.selection import AgreementSelector, Choice, ConsensusSelector, SynchronySelector


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

    name = "agreement"
    provenance = {"weights_sha256": "0"}  # noqa: RUF012

    def __init__(self, embedder: Pipeline) -> None:
        assert embedder.name.endswith("model.safetensors")

    def choose(self, candidates: Sequence[Generation]) -> Choice:
        levels = [candidate.waveform.abs().mean().item() for candidate in candidates]
        return Choice(levels.index(max(levels)), {"agreements": levels})


def test_the_best_is_kept_and_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.generation.run.AgreementSelector", Loudest)
    chosen_by = ["--select", "agreement", "--select-weights", str(folder / "model.safetensors")]
    assert generate(folder, "best", "--num-samples", "3", *chosen_by) == 0
    assert generate(folder, "all", "--num-samples", "3") == 0
    assert len(list((folder / "best").glob("*.flac"))) == 2
    for name in ("clip0", "clip1"):
        settings = json.loads((folder / "best" / f"{name}.flac.json").read_text())
        levels = settings["selection"]["agreements"]
        assert len(set(levels)) == 3
        assert settings["sample"] == levels.index(max(levels))
        assert settings["selection"]["weights_sha256"]
        kept = media.read_audio(folder / "best" / f"{name}.flac", 16_000)
        alone = media.read_audio(folder / "all" / f"{name}-{settings['sample']}.flac", 16_000)
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
    candidates = [Generation(Made(sound), Clip("clip0", video, duration=1.0), {}) for sound in sounds]
    pipeline = vab.load(weights, device="cpu")
    choice = AgreementSelector(pipeline).choose(candidates)
    pictures = pipeline.embed_video(video, duration=1.0)
    expected = [(pipeline.embed_audio(sound) @ pictures).item() for sound in sounds]
    assert choice.numbers == {"agreements": pytest.approx(expected)}
    assert expected[0] != expected[1]
    assert choice.index == expected.index(max(expected))


def test_consensus_is_the_sound_most_like_the_others(folder: Path) -> None:
    times = torch.arange(16_000) / 16_000
    sounds = [0.3 * torch.sin(2 * torch.pi * pitch * times)[None] for pitch in (300, 2000, 400, 410)]
    clip = Clip("clip0", folder / "clips" / "clip0.mp4", duration=1.0)
    choice = ConsensusSelector().choose([Generation(Made(sound), clip, {}) for sound in sounds])
    expected = [sum(log_mel_distance(sound, other, 16_000) for other in sounds) / 3 for sound in sounds]
    assert choice.numbers == {"distances": pytest.approx(expected, rel=1e-4)}
    assert choice.index == expected.index(min(expected)) != 1
    assert max(expected) == expected[1]


def test_choosing_by_consensus_end_to_end(folder: Path) -> None:
    assert generate(folder, "usual", "--num-samples", "3", "--select", "consensus") == 0
    settings = json.loads((folder / "usual" / "clip0.flac.json").read_text())
    selection = settings["selection"]
    assert (selection["by"], selection["num_samples"]) == ("consensus", 3)
    assert settings["sample"] == selection["distances"].index(min(selection["distances"]))


class Known:
    """Stands for Synchformer: what it answers to a sound stands in its first samples."""

    sample_rate = 16_000

    def __init__(self) -> None:
        self.views: list[View] = []

    def see(self, video: Path, view: View, *, start: float, duration: float) -> torch.Tensor:
        self.views.append(view)
        return torch.zeros(1, 1, 1)

    def answers(self, seen: torch.Tensor, audio: torch.Tensor, view: View) -> torch.Tensor:
        answer = torch.zeros(2, 21)
        answer[:, int(audio[0, 0])] = 1 - audio[0, 1]
        answer[:, 0] += audio[0, 1]
        return answer


def test_synchrony_is_the_smallest_offset_and_of_those_alike_the_surest(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(synchformer_state(), tmp_path / "sync.pth")
    selector = SynchronySelector(str(tmp_path / "sync.pth"), device="cpu")
    assert selector.provenance["weights"] == "sync.pth"
    assert "CC-BY-NC-4.0" in selector.provenance["weights_licence"]
    network = Known()
    monkeypatch.setattr(selector, "_network", network)
    video = folder / "clips" / "clip0.mp4"
    sounds = [torch.zeros(1, 16_000) for _ in range(4)]
    # The likeliest answer, and how much of the probability is two seconds away.
    for sound, answer, doubt in zip(sounds, (13, 11, 9, 9), (0.0, 0.3, 0.1, 0.2), strict=True):
        sound[0, 0], sound[0, 1] = answer, doubt
    clip = Clip("clip0", video, duration=1.0)
    choice = selector.choose([Generation(Made(sound), clip, {}) for sound in sounds])
    assert choice.index == 2
    assert choice.numbers["offsets"] == pytest.approx([0.6, 0.2, 0.2, 0.2])
    assert choice.numbers["expected_offsets"] == pytest.approx([0.6, 0.74, 0.38, 0.56])
    selector.choose([Generation(Made(sound), replace(clip, duration=5.0), {}) for sound in sounds])
    assert network.views == [V_AURA, AV_BENCHMARK]


def test_choosing_by_synchrony_end_to_end(folder: Path, tmp_path: Path) -> None:
    torch.save(synchformer_state(), tmp_path / "sync.pth")
    chosen_by = ["--select", "synchrony", "--synchformer", str(tmp_path / "sync.pth")]
    assert generate(folder, "timed", "--num-samples", "2", *chosen_by) == 0
    settings = json.loads((folder / "timed" / "clip0.flac.json").read_text())
    selection = settings["selection"]
    assert len(selection["offsets"]) == len(selection["expected_offsets"]) == 2
    assert selection["weights"] == "sync.pth"
    best = list(zip(selection["offsets"], selection["expected_offsets"], strict=True))
    assert settings["sample"] == best.index(min(best))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--select", "synchrony"], "--select synchrony: measured by Synchformer; add --synchformer"),
        (["--synchformer", "sync.pth"], "--synchformer: measures for --select synchrony; add that too"),
        (
            ["--select", "synchrony", "--synchformer", "absent.pth"],
            "absent.pth: neither a file nor the name of weights",
        ),
    ],
)
def test_a_measure_that_is_missing_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert generate(folder, "none", "--num-samples", "2", *more) == 2
    assert message in capsys.readouterr().err


def test_one_sound_is_no_choice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(folder, "none", "--select", "agreement") == 2
    assert "--select agreement chooses among 2 soundtracks or more" in capsys.readouterr().err
    assert generate(folder, "none", "--select", "consensus", "--num-samples", "2") == 2
    assert "--select consensus chooses among 3 soundtracks or more" in capsys.readouterr().err
