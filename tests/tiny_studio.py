"""What a studio works with, small: weights, a classifier, clips, an index of them."""

from __future__ import annotations

from pathlib import Path

from tiny import write_tiny_classifier, write_tiny_clip, write_tiny_model

from tasks import cli


def write_studio(folder: Path) -> None:
    """``tiny.safetensors``, ``classes.safetensors`` and ``index`` of all of ``clips``, three more of them."""
    weights = write_tiny_model(folder / "tiny.safetensors")
    write_tiny_classifier(folder / "classes.safetensors")
    for number in range(3):
        write_tiny_clip(folder / "clips" / f"{number}.mp4", 1.0, seed=number)
    words = [str(folder / "clips"), "-o", str(folder / "index"), "--weights", str(weights)]
    assert cli.main(["index", "build", *words]) == 0
