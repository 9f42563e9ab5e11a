"""What a studio works with, small: weights, a classifier, clips, an index of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiny import tiny_config, write_tiny_clip, write_tiny_model

from tasks import cli
from vab.config import to_dict
from vab.models.files import load_model, save_model
from vab.models.vab.classifier import MODEL_TYPE, VABClassifier, VABClassifierConfig


def write_tiny_classifier(path: Path, weights: Path) -> None:
    """A classifier with random weights, of three classes, that reads what a tiny model reads."""
    _, card = load_model(weights)
    config = VABClassifierConfig(["dog", "rain", "bell"], "both", tiny_config())
    save_model(path, VABClassifier(config), replace(card, type=MODEL_TYPE, config=to_dict(config)))


def write_studio(folder: Path) -> None:
    """``tiny.safetensors``, ``classes.safetensors`` and ``index`` of all of ``clips``, three more of them."""
    weights = write_tiny_model(folder / "tiny.safetensors")
    write_tiny_classifier(folder / "classes.safetensors", weights)
    for number in range(3):
        write_tiny_clip(folder / "clips" / f"{number}.mp4", 1.0, seed=number)
    words = [str(folder / "clips"), "-o", str(folder / "index"), "--weights", str(weights)]
    assert cli.main(["index", "build", *words]) == 0
