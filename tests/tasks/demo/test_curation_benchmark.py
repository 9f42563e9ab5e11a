"""Swapped sounds in a copy of a store, and how they are counted when curation leaves clips out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import VISUAL_FPS, write_tiny_clip, write_tiny_model

from tasks import cli
from tasks.demo.benchmark import curation
from vab.codecs import load_codec
from vab.errors import ConfigError
from vab.features.audio_makers import layout_maker
from vab.features.extract import ExtractionOptions, add_stream, extract
from vab.features.makers import CodecMaker, VisualMaker
from vab.features.manifest import Clip
from vab.features.store import FeatureStore
from vab.pipeline import model_path
from vab.visual import load_encoder
from vab.weights import sha256_of

NUM_TRAINING = 6


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swapped")
    clips = [
        Clip(
            f"clip{n}",
            write_tiny_clip(folder / f"clip{n}.mp4", 1.0, seed=n),
            split="train" if n < NUM_TRAINING else "test",
        )
        for n in range(NUM_TRAINING + 2)
    ]
    makers = {
        "codes": CodecMaker(load_codec("tiny-encodec")),
        "clip": VisualMaker(load_encoder("tiny-clip"), VISUAL_FPS),
    }
    options = ExtractionOptions(clip_seconds=1.0, shard_size=5)
    extract(clips, folder / "store", makers, options)
    add_stream(folder / "store", "layout", layout_maker("cpu"), options)
    return folder / "store"


def test_swapped_clips_have_each_others_sounds_and_nothing_else_changes(store: Path, tmp_path: Path) -> None:
    copy, swapped = curation.swap_sounds(store, tmp_path, 0.6, seed=0)
    before, after = FeatureStore(store), FeatureStore(copy)
    after.verify()
    assert before.clips.ids == after.clips.ids and len(swapped) == 3, (
        "of 5 and 1 training clips in the two shards"
    )
    ours, theirs = (each.read(range(len(each))).streams["codes"] for each in (before, after))
    changed = {
        name for name, a, b in zip(before.clips.ids, ours, theirs, strict=True) if not torch.equal(a, b)
    }
    assert changed == swapped and not changed & {f"clip{n}" for n in range(NUM_TRAINING, NUM_TRAINING + 2)}
    rows = [before.clips.ids.index(name) for name in swapped]
    assert sorted(theirs[rows].flatten(1).tolist()) == sorted(ours[rows].flatten(1).tolist())
    for name in ("clip", "layout"):
        assert torch.equal(*(each.read(range(len(each)), [name]).streams[name] for each in (before, after)))
    assert curation.swap_sounds(store, tmp_path, 0.6, seed=0) == (copy, swapped), "kept"
    with pytest.raises(ConfigError, match="another folder"):
        curation.swap_sounds(store, tmp_path, 0.5, seed=0)


def test_a_model_is_trained_for_each_threshold_on_the_clips_that_reach_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = []

    def train(folder: Path, config: str, changes: Any, options: Any, *, store: Path) -> None:
        given.append((folder.name, config, Path(changes["data"]["clips"]).read_text(), store))
        folder.mkdir()
        write_tiny_model(folder / "model.safetensors")

    scores = {"f1_50ms": 0.5, "f1_100ms": 0.5, "loudness": 0.5, "brightness": 0.5, "class": 0.5}
    monkeypatch.setattr(curation, "train_small", train)
    monkeypatch.setattr(curation, "measure", lambda folder, names, options: scores)
    copy, swapped = curation.swap_sounds(store, tmp_path, 0.6, seed=0)
    similarity = {f"clip{n}": 0.1 if f"clip{n}" in swapped else 0.25 + n / 100 for n in range(NUM_TRAINING)}
    [right, *_] = sorted(set(similarity) - swapped)
    similarity[right] = 0.05
    made = {"weights_sha256": sha256_of(model_path("demo-search")), "similarities": similarity}
    (tmp_path / "similarities.json").write_text(json.dumps(made))
    words = ["evaluate", "curation", "--store", str(store), "--swapped", "0.6", "-o", str(tmp_path)]
    assert cli.main([*words, "--min-similarity", "0.2", "--device", "cpu"]) == 0
    everything, good = given
    assert everything[:2] == ("v_aura-all", "v_aura/demo") and everything[3] == copy
    assert [text.count("\nclip") for *_, text, _ in given] == [NUM_TRAINING, NUM_TRAINING - len(swapped) - 1]
    assert all(f"{name}," not in good[2] for name in swapped)
    every, kept = json.loads((tmp_path / "curation.json").read_text())["rows"]
    assert (every["num_kept"], every["precision"], every["recall"]) == (NUM_TRAINING, None, 0.0)
    assert kept["recall"] == 1.0 and kept["precision"] == pytest.approx(len(swapped) / (len(swapped) + 1))
    other = str(write_tiny_model(tmp_path / "other.safetensors"))
    assert cli.main([*words, "--weights", other, "--device", "cpu"]) == 2
    assert f"similarities.json: is not by {other}; give another folder with -o" in capsys.readouterr().err
