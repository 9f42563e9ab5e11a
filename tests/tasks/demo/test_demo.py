"""``vab demo`` on the bundled weights, and the bundle made anew at toy size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import vab
from tasks import cli
from tasks.demo.world import write_corpus
from vab import media
from vab.metrics.onsets import OnsetScores, detect_onsets, onset_scores
from vab.weights import entries

BUNDLED = [entry for entry in entries() if entry.is_bundled]


def test_the_bundle_is_whole_and_small() -> None:
    assert all(entry.is_present for entry in BUNDLED)
    assert sum(entry.path.stat().st_size for entry in BUNDLED) < 60e6


@pytest.mark.slow
def test_demo_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "-o", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name in ("generated.mp4", "true.mp4", "silent.mp4", "picture.png"):
        assert (tmp_path / name).stat().st_size > 1000
        assert name in said
    made, silent = media.probe(tmp_path / "generated.mp4"), media.probe(tmp_path / "silent.mp4")
    assert made.duration == pytest.approx(silent.duration, abs=0.005)
    assert silent.audio is None
    assert media.read_audio(tmp_path / "generated.mp4", 16000).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["demo-maskvat", "demo-v-aura", "demo-tiva"])
def test_every_bundled_system_generates(weights: str, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", {"test": 1}, seed=1, duration=2.0, workers=0)
    words = ["generate", str(tmp_path / "corpus"), "--weights", weights, "--device", "cpu"]
    assert cli.main([*words, "-o", str(tmp_path / "out")]) == 0
    [made] = (tmp_path / "out").glob("*.mp4")
    audio = media.read_audio(made, 16000)
    assert audio.shape[1] == pytest.approx(32000, abs=1100) and audio.std() > 1e-4


@pytest.mark.slow
def test_the_bundled_model_uses_the_frames(tmp_path: Path) -> None:
    """Masked codes of clips that no training has seen are predicted better with their frames than without."""
    corpus = write_corpus(tmp_path / "corpus", {"test": 18}, seed=1, duration=4.0, workers=0)
    words = [
        "extract",
        str(corpus),
        "--store",
        str(tmp_path / "store"),
        "--clip-seconds",
        "4",
        "--device",
        "cpu",
    ]
    assert cli.main(words) == 0
    report = tmp_path / "tokens.json"
    assert cli.main(["evaluate", "tokens", "--store", str(tmp_path / "store"), "-o", str(report)]) == 0
    metrics = json.loads(report.read_text())["metrics"]
    assert metrics["all_masked/loss_with_vision"] < metrics["all_masked/loss_without_vision"] - 0.4
    assert metrics["all_masked/accuracy_with_vision"] > 1.02 * metrics["all_masked/accuracy_without_vision"]


@pytest.mark.slow
def test_generated_sound_begins_when_things_happen(tmp_path: Path) -> None:
    """Onsets of sound made for impacts meet their events, and not those of another clip."""
    write_corpus(tmp_path, {"test": 18}, seed=1, duration=6.0, workers=0)
    pipeline = vab.load("demo", device="cpu")
    events, heard = [], []
    for path in sorted(tmp_path.glob("test/*.json")):
        truth = json.loads(path.read_text())
        if any(source["kind"] != "impact" or not source["on_screen"] for source in truth["sources"]):
            continue
        generation = pipeline.generate(path.with_suffix(".mp4"), steps=8)
        events.append(torch.tensor([event["time"] for event in truth["events"]], dtype=torch.float64))
        heard.append(detect_onsets(generation.waveform, generation.sample_rate))
    assert len(events) >= 4
    own, others = (
        sum(
            (onset_scores(found, true, window=0.1) for found, true in zip(heard, wanted, strict=True)),
            start=OnsetScores(0, 0, 0),
        ).f1
        for wanted in (events, events[1:] + events[:1])
    )
    assert own > 0.6
    assert own > 1.8 * others


@pytest.mark.slow
def test_a_bundle_is_made_from_nothing_and_works(tmp_path: Path) -> None:
    assert cli.main(["demo", "train", "--quick", "-o", str(tmp_path), "--device", "cpu"]) == 0
    clips = sorted((tmp_path / "corpus" / "train").glob("*.mp4"))
    for kind in ("waveforms", "frames"):  # of which codec and tower leave half to the others
        assert len(np.load(tmp_path / "cache" / f"{kind}-train.npy", mmap_mode="r")) == len(clips) // 2
    weights = tmp_path / "bundle" / "demo-vab.safetensors"
    clip = next((tmp_path / "corpus" / "test").glob("*.mp4"))
    assert (
        cli.main(
            ["generate", str(clip), "-o", str(tmp_path / "out"), "--weights", str(weights), "--steps", "2"]
        )
        == 0
    )
    settings = json.loads((tmp_path / "out" / f"{clip.name}.json").read_text())
    assert settings["sampling"]["num_steps"] == 2

    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "bundle").iterdir()}
    assert cli.main(["demo", "train", "--quick", "-o", str(tmp_path), "--device", "cpu"]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "bundle").iterdir()} == before
