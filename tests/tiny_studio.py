"""What a studio works with, small: weights, a classifier, clips, an index of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiny import tiny_config, write_tiny_clip, write_tiny_model

from tasks import cli
from vab.config import to_dict
from vab.models.files import load_model, save_model
from vab.models.vab.classifier import MODEL_TYPE, VABClassifier, VABClassifierConfig


def write_studio(folder: Path) -> None:
    """``tiny.safetensors``, ``classes.safetensors`` and ``index`` of all of ``clips``, three more of them."""
    weights = write_tiny_model(folder / "tiny.safetensors")
    _, card = load_model(weights)
    config = VABClassifierConfig(["dog", "rain", "bell"], "both", tiny_config())
    classifier = replace(card, type=MODEL_TYPE, config=to_dict(config))
    save_model(folder / "classes.safetensors", VABClassifier(config), classifier)
    for number in range(3):
        write_tiny_clip(folder / "clips" / f"{number}.mp4", 1.0, seed=number)
    words = [str(folder / "clips"), "-o", str(folder / "index"), "--weights", str(weights)]
    assert cli.main(["index", "build", *words]) == 0
