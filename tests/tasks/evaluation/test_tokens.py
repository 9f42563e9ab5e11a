"""``vab evaluate tokens``: accuracy on masked codes of every model that predicts them."""

import json
from pathlib import Path

import pytest
import torch
from tiny import extract_tiny, shaken, tiny_components, write_tiny_clip, write_tiny_model
from tiny_maskvat import tiny_maskvat_config

from tasks import cli
from vab.config import to_dict
from vab.features.info import StreamSize
from vab.models import find_model
from vab.models.files import ModelCard, save_model
from vab.visual import load_encoder


def _write_maskvat(path: Path) -> Path:
    conditions = {"clip": StreamSize(load_encoder("tiny-clip").embed_dim, 5.0)}
    config = tiny_maskvat_config("seq2seq", conditions=conditions, targets={})
    torch.manual_seed(0)
    card = ModelCard("maskvat", to_dict(config), tiny_components(), window_seconds=1.0, overlap_seconds=0.4)
    save_model(path, shaken(find_model("maskvat").model(config)), card)
    return path


@pytest.mark.parametrize("write", [write_tiny_model, _write_maskvat])
def test_it_measures_every_model_that_predicts_masked_codes(
    write: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(write)
    write_tiny_clip(tmp_path / "corpus" / "clip.mp4", 1.2)
    store = extract_tiny(tmp_path / "corpus", tmp_path / "store")
    weights, out = write(tmp_path / "model.safetensors"), tmp_path / "tokens.json"
    words = ["evaluate", "tokens", "--store", str(store), "--split", "", "--device", "cpu"]
    assert cli.main([*words, "--weights", str(weights), "-o", str(out)]) == 0
    metrics = json.loads(out.read_text())["metrics"]
    assert {f"accuracy_with_vision/codebook_{index}" for index in range(4)} <= set(metrics)
    assert metrics["all_masked/loss_with_vision"] != metrics["all_masked/loss_without_vision"]
    assert "the frames add" in capsys.readouterr().out


def test_a_model_that_predicts_no_masked_codes_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_clip(tmp_path / "corpus" / "clip.mp4", 1.2)
    store = extract_tiny(tmp_path / "corpus", tmp_path / "store")
    words = ["evaluate", "tokens", "--store", str(store), "--weights", "demo-v-aura", "--device", "cpu"]
    capsys.readouterr()
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert "give the weights of a vab, a vab-refiner or a maskvat" in err and err.count("\n") == 1
