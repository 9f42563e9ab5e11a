"""The whole chain by commands, at toy size: extract, pretrain, evaluate, generate."""

import json
import math
from pathlib import Path

import pytest
from tiny import extract_tiny, model_words, write_tiny_clip

from tasks import cli
from vab import media


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    rows = []
    for index in range(10):
        split = "train" if index < 6 else "validation" if index < 8 else "test"
        write_tiny_clip(folder / f"clip{index}.mp4", 2.0, seed=index)
        rows.append(f"clip{index},clip{index}.mp4,{split}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(["id,path,split", *rows]) + "\n")
    return extract_tiny(manifest, folder / "store", 2.0)


def _pretrain(store: Path, out: Path, *more: str) -> list[str]:
    config = {
        "--training.seed": "3",
        "--training.max_steps": "30",
        "--training.batch_size": "4",
        "--training.learning_rate": "1e-2",
        "--training.precision": "32",
        "--training.ema_decay": "0.9",
        "--training.log_every": "1",
        "--training.validate_every": "10",
        "--training.checkpoint_every": "5",
        "--data.crop_seconds": "1",
        "--sampling.num_steps": "2",
        "--device": "cpu",
    }
    words = [*model_words(), *(word for pair in config.items() for word in pair)]
    return ["pretrain", "--store", str(store), "--out", str(out), *words, *more]


@pytest.mark.slow
def test_trained_weights_generate_and_are_measured(store: Path, tmp_path: Path) -> None:
    assert cli.main(_pretrain(store, tmp_path / "run")) == 0
    weights = str(tmp_path / "run" / "model.safetensors")

    report = tmp_path / "tokens.json"
    assert (
        cli.main(["evaluate", "tokens", "--store", str(store), "--weights", weights, "-o", str(report)]) == 0
    )
    document = json.loads(report.read_text())
    assert document["conditions"]["num_clips"] == 2
    # The random codec says one thing of noise most of the time, which a few steps are enough to learn.
    assert 0 < document["metrics"]["all_masked/loss_with_vision"] < -math.log(document["chance"]) / 2

    clips = sorted(store.parent.glob("clip*.mp4"))[:3]
    bad = tmp_path / "bad.mp4"
    bad.write_text("not a video")
    words = ["generate", *map(str, clips), str(bad), "-o", str(tmp_path / "out"), "--weights", weights]
    assert cli.main(words) == 2
    for clip in clips:
        made = tmp_path / "out" / clip.name
        assert media.probe(made).duration == pytest.approx(media.probe(clip).duration, abs=0.005)
        assert media.read_audio(made, 16000).abs().max() > 0
        assert json.loads((tmp_path / "out" / f"{clip.name}.json").read_text())["weights_sha256"]

    before = (tmp_path / "out" / clips[0].name).stat().st_mtime_ns
    assert cli.main(["generate", str(clips[0]), "-o", str(tmp_path / "out"), "--weights", weights]) == 0
    assert (tmp_path / "out" / clips[0].name).stat().st_mtime_ns == before
    words = ["generate", str(clips[0]), "-o", str(tmp_path / "two"), "--weights", weights]
    assert cli.main([*words, "--num-samples", "2", "--audio-only", "flac"]) == 0
    assert len(list((tmp_path / "two").glob("*.flac"))) == 2


@pytest.mark.slow
def test_a_model_that_does_not_fit_the_store_is_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(_pretrain(store, tmp_path / "run", "--model.visual_dim", "999")) == 2
    err = capsys.readouterr().err
    assert "model.visual_dim is 999" in err
    assert err.strip().count("\n") == 0
