"""``vab finetune`` from the outside: folds, probe, baselines, resuming, what it counts, its one-line errors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import VISUAL_FPS, write_tiny_model

from tasks.classification.options import DataOptions
from tasks.classification.protocol import plan_folds
from tasks.cli import main
from vab.codecs import load_codec
from vab.errors import StoreError
from vab.features.info import StoreInfo
from vab.features.makers import CodecMaker, VisualMaker
from vab.features.manifest import Clip
from vab.features.shards import ShardArrays
from vab.features.store import FeatureStore
from vab.features.writer import StoreWriter
from vab.media import write_audio
from vab.models.files import Component, load_model, save_model
from vab.models.vab.classifier import VABClassifier
from vab.models.vab.encoder import VABEncoder, save_encoder
from vab.visual import load_encoder

FOLDS = ["fold1", "fold2", "fold3"]
CLASSES = ["hiss", "hum"]
CLIPS_A_FOLD = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folds of a second of hiss or hum: heard in the sound files, seen in the frames, told by the codes."""
    return _write_store(tmp_path_factory.mktemp("classification"), FOLDS)


def _write_store(folder: Path, splits: list[str]) -> Path:
    makers = {
        "codes": CodecMaker(load_codec("tiny-encodec")),
        "clip": VisualMaker(load_encoder("tiny-clip"), VISUAL_FPS),
    }
    info = StoreInfo.of((maker.describe(name) for name, maker in makers.items()), 1.0)
    generator = torch.Generator().manual_seed(0)
    size = CLIPS_A_FOLD * len(splits)
    arrays = ShardArrays.zeros(size, info)
    clips = []
    for n in range(size):
        kind = n % 2
        codes, frames = arrays.streams["codes"], arrays.streams["clip"]
        codes[n] = torch.randint(0, 32, codes[n].shape, generator=generator) + 32 * kind
        frames[n] = torch.randn(frames[n].shape, generator=generator) + 2 * kind
        for name, lengths in arrays.num_steps.items():
            lengths[n] = info.num_steps(name)
        noise = torch.randn(1, 16000, generator=generator) * 0.1
        hum = 0.3 * torch.sin(torch.arange(16000) * (0.05 + 0.001 * n))[None]
        path = folder / f"{CLASSES[kind]}{n}.wav"
        write_audio(path, hum if kind else noise, 16000)
        clips.append(Clip(path.stem, path, split=splits[n // CLIPS_A_FOLD], labels=(CLASSES[kind],)))
    with StoreWriter(folder / "store", info) as writer:
        writer.plan(clips, shard_size=100, group_size=100)
        for group in writer.pending():
            writer.write(group, arrays, {})
    return folder / "store"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def _words(store: Path, weights: Path, out: Path, *more: str) -> list[str]:
    return [
        "finetune", "--store", str(store), "--init", str(weights), "--out", str(out), "--device", "cpu",
        "--training.epochs", "6", "--training.batch_size", "8", "--training.learning_rate", "3e-3",
        "--training.precision", "32", "--training.checkpoint_every", "6", "--training.log_every", "2", *more,
    ]  # fmt: skip


FOLDED = ["--data.folds", json.dumps(FOLDS)]
PLAIN = ["--data.train_splits", '["fold1", "fold2"]', "--data.test_splits", '["fold3"]']


@pytest.fixture(scope="module")
def folded(store: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A finished run over all folds, on sound alone, and its command."""
    out = tmp_path_factory.mktemp("folded") / "out"
    words = _words(store, weights, out, "--modality", "audio", *FOLDED)
    assert main(words) == 0
    return out, words


def test_clips_without_splits_are_learnt_from_but_for_a_few(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FeatureStore(_write_store(tmp_path, ["", "", ""]))
    [fold] = plan_folds(store, DataOptions(), streams=["codes"])
    assert sorted([*fold.train, *fold.test]) == list(range(24)) and len(fold.test) == 1
    assert "no splits: measured on 1 of its 24 clips (--data.train_splits, --data.test_splits)" in caplog.text
    assert plan_folds(store, DataOptions(), streams=["codes"]) == [fold]
    with pytest.raises(StoreError, match=r"it has: clips without a split; choose with --data\.folds"):
        plan_folds(store, DataOptions(folds=["fold1", "fold2"]), streams=["codes"])


def test_folds_are_learnt_measured_and_kept(folded: tuple[Path, list[str]]) -> None:
    out, _ = folded
    document = json.loads((out / "metrics.json").read_text())
    assert set(document["folds"]) == set(FOLDS)
    assert document["mean"]["accuracy"] > 0.9
    assert document["clips"] == {"used": 24, "unreadable": 0, "without_file": 0}
    assert (out / "confusion.png").stat().st_size > 1000
    assert (out / "classes.csv").read_text().splitlines()[1].startswith("hiss,12,")
    table = pd.read_parquet(out / "fold2" / "predictions.parquet")
    assert len(table) == CLIPS_A_FOLD and set(table["fold"]) == {"fold2"}
    assert np.allclose(table[["p/hiss", "p/hum"]].max(axis=1), table["probability"])
    model, card = load_model(out / "fold2" / "model.safetensors")
    assert isinstance(model, VABClassifier)
    assert (model.config.classes, model.config.modality) == (CLASSES, "audio")
    assert card.type == "vab-classifier" and "all folds but fold2" in card.provenance["trained_on"]
    curve = pd.read_csv(out / "fold2" / "metrics.csv")
    assert curve["validate/accuracy"].notna().sum() == 6
    assert curve["validate/accuracy"].iloc[-1] == document["folds"]["fold2"]["accuracy"]


def test_a_run_goes_on_where_it_was(
    folded: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = folded
    before = (out / "metrics.json").read_text()
    assert main(words) == 2
    assert "already holds a run; add --resume" in capsys.readouterr().err
    kept = (out / "fold1" / "predictions.parquet").stat().st_mtime_ns
    (out / "fold3" / "predictions.parquet").unlink()  # as if killed before the last fold's end
    assert main([*words, "--resume"]) == 0
    assert (out / "metrics.json").read_text() == before
    assert (out / "fold1" / "predictions.parquet").stat().st_mtime_ns == kept
    (out / "fold3" / "predictions.parquet").unlink()
    assert main([*words, "--resume", "--fold", "2"]) == 0
    assert not (out / "fold3" / "predictions.parquet").exists()
    assert main([*words, "--resume", "--fold", "3"]) == 0
    assert (out / "metrics.json").read_text() == before
    assert main([*words, "--resume", "--fold", "4"]) == 2
    assert "--fold must be 1 to" in capsys.readouterr().err
    assert main([*words, "--resume", "--training.epochs", "7"]) == 2
    assert "has other options" in capsys.readouterr().err


@pytest.mark.parametrize("modality", ["visual", "both"])
def test_one_split_needs_no_folds(store: Path, weights: Path, tmp_path: Path, modality: str) -> None:
    words = _words(store, weights, tmp_path / "out", "--modality", modality, *PLAIN)
    assert main([*words, "--data.class_balanced", "true"]) == 0
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["num_clips"] == CLIPS_A_FOLD
    assert document["mean"]["mean_average_precision"] > 0.9
    assert load_model(tmp_path / "out" / "model.safetensors")[1].type == "vab-classifier"


def test_the_probe_leaves_the_network_as_it_is(store: Path, weights: Path, tmp_path: Path) -> None:
    words = _words(store, weights, tmp_path / "out", "--freeze", "--modality", "both", *FOLDED)
    assert main(words) == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["mean"]["accuracy"] > 0.9
    model, _ = load_model(tmp_path / "out" / "fold1" / "model.safetensors")
    start, _ = load_model(weights)
    kept = VABEncoder.from_vab(start).state_dict()
    assert all(value.equal(kept[name]) for name, value in model.encoder.state_dict().items())
    assert len(list((tmp_path / "out").glob("features-*.safetensors"))) == 1


def test_several_labels_with_names_of_their_own(store: Path, weights: Path, tmp_path: Path) -> None:
    listed = tmp_path / "class_labels_indices.csv"
    listed.write_text('index,mid,display_name\n0,hum,"Mains hum"\n1,hiss,"Hiss, steady"\n2,other,"Other"\n')
    words = _words(store, weights, tmp_path / "out", "--freeze", *PLAIN, "--data.class_list", str(listed))
    assert main([*words, "--data.multilabel", "true"]) == 0
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["mean"]["accuracy"] is None
    assert document["mean"]["mean_average_precision"] > 0.9
    assert document["classes_without_test_clips"] == ["Other"]
    model, _ = load_model(tmp_path / "out" / "model.safetensors")
    assert model.config.classes == ["Mains hum", "Hiss, steady", "Other"]


def test_scratch_and_masked_pretraining_start_elsewhere(store: Path, weights: Path, tmp_path: Path) -> None:
    found = {}
    for name, more in (("plain", []), ("scratch", ["--scratch"]), ("masked", ["--masked-epochs", "1"])):
        words = _words(store, weights, tmp_path / name, "--modality", "audio", *PLAIN, *more)
        assert main(words) == 0
        found[name] = load_model(tmp_path / name / "model.safetensors")[0].state_dict()
        method = json.loads((tmp_path / name / "metrics.json").read_text())["method"]
        assert ("scratch" in method, "masked" in method) == (name == "scratch", name == "masked")
    table = "encoder.code_embedding.tables"
    assert not found["plain"][table].equal(found["masked"][table])
    # A second of training moves a table little: scratch started from the codec's own vectors.
    codebooks = load_codec("tiny-encodec").codebooks
    scaled = (codebooks - codebooks.mean((1, 2), keepdim=True)) / codebooks.std((1, 2), keepdim=True)
    assert (found["scratch"][table][:, :-1] - scaled).abs().mean() < 0.1
    assert (found["plain"][table][:, :-1] - scaled).abs().mean() > 0.1


def test_an_encoder_alone_will_do_but_not_for_masked_prediction(
    store: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, card = load_model(weights)
    save_encoder(tmp_path / "encoder.safetensors", VABEncoder.from_vab(model), card)
    words = _words(store, tmp_path / "encoder.safetensors", tmp_path / "out", *PLAIN)
    assert main([*words, "--masked-epochs", "1"]) == 2
    assert "'vab-encoder'; --masked-epochs needs a whole VAB" in capsys.readouterr().err
    words = _words(store, tmp_path / "encoder.safetensors", tmp_path / "two", "--freeze", *PLAIN)
    assert main(words) == 0


@pytest.mark.parametrize("baseline", [["forest"], ["cnn"], ["forest", "--through-codec"]])
def test_baselines_learn_the_same_folds_from_the_sound_files(
    store: Path, weights: Path, tmp_path: Path, baseline: list[str]
) -> None:
    words = ["--baseline", *baseline, *PLAIN, "--training.epochs", "40"]
    assert main(_words(store, weights, tmp_path / "out", *words)) == 0
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["started_from"] is None
    assert document["mean"]["accuracy"] > 0.9


def test_what_the_store_lacks_is_counted(
    store: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = store / "missing.txt"
    listed.write_text("gone-1\ngone-2\n")
    try:
        assert main(_words(store, weights, tmp_path / "out", "--freeze", *PLAIN)) == 0
    finally:
        listed.unlink()
    assert "24 clips used; 2 have no file (missing.txt of the store lists them)" in capsys.readouterr().out


def test_mistakes_are_one_line(
    store: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.txt").write_text("hiss\nrain\n")
    other = write_tiny_model(tmp_path / "other.safetensors")
    model, card = load_model(other)
    save_model(
        other,
        model,
        replace(card, components=card.components | {"codes": Component("tiny-encodec", "another")}),
    )
    for words, message in (
        ([*PLAIN, "--data.class_list", str(tmp_path / "short.txt")], "1 labels of clips are not among its 2 classes"),
        ([*PLAIN, "--data.class_list", str(tmp_path / "no.txt")], "no.txt: cannot be read as a list of classes"),
        (["--data.test_splits", '["fold9"]', "--data.train_splits", '["fold1"]'], "fold3; choose with --data.train"),
        (["--data.folds", '["fold1"]'], "data.folds needs at least two splits"),
        ([*PLAIN, "--baseline", "cnn", "--freeze"], "--baseline has no VAB"),
        ([*PLAIN, "--init", str(other)], "go with tiny-encodec another"),
    ):  # fmt: skip
        assert main(_words(store, weights, tmp_path / "out", *words)) == 2
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
