"""``vab generate``: inputs are never written over, results are complete, names are the clips' own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import write_tiny_clip, write_tiny_model

from tasks import cli


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def made_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 0.6)


@pytest.fixture
def clip(made_clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made_clip, tmp_path / "clip.mp4"))


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_video_is_never_written_over(
    clip: Path, weights: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = clip.read_bytes()
    words = ["generate", str(clip), "-o", str(clip.parent), "--weights", str(weights), *more]
    assert cli.main(words) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert clip.read_bytes() == before
    assert sorted(clip.parent.iterdir()) == [clip]
