"""Speed of an extraction, beside its two halves alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks import cli
from vab import media


def test_an_extraction_stands_beside_its_halves(tmp_path: Path) -> None:
    frames = np.zeros((8, 32, 32, 3), np.uint8)
    for name in ("a", "b"):
        media.write_clip(tmp_path / "in" / f"{name}.mp4", frames, 8, torch.zeros(1, 16_000), 16_000)
    words = f"bench extract {tmp_path / 'in'} --codec tiny-spectral --encoder tiny-clip --clip-seconds 1"
    out = tmp_path / "out.json"
    assert cli.main([*words.split(), "--visual-fps", "4", "--device", "cpu", "-o", str(out)]) == 0
    document = json.loads(out.read_text())
    rates, shares = document["clips_a_second"], document["share_of"]
    slower = min(rates["decoding alone"], rates["encoding alone"])
    assert shares["the slower half"] == pytest.approx(rates["extraction"] / slower)
    assert document["conditions"]["num_clips"] == 2


def test_no_clip_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_text("a clip")
    assert cli.main(["bench", "extract", str(tmp_path), "-o", str(tmp_path / "a.mp4")]) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert (tmp_path / "a.mp4").read_text() == "a clip"


def test_clips_that_cannot_be_read_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    words = ["bench", "extract", str(tmp_path), "--codec", "tiny-spectral", "--encoder", "tiny-clip"]
    assert cli.main(words) != 0
    assert "cannot be read" in capsys.readouterr().err
