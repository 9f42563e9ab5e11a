"""``vab evaluate codec``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tasks.cli import main
from vab import media


def test_codecs_beside_opus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    media.write_audio(tmp_path / "real" / "a.wav", [noise], 16_000)
    words = f"tiny-spectral --audio {tmp_path / 'real'} --num-tones 2 --num-codebooks 2 -o {tmp_path / 'out'}"
    assert main(["evaluate", "codec", *words.split()]) == 0
    document = json.loads((tmp_path / "out" / "codec.json").read_text())
    rows = {row["system"]: row for row in document["systems"]}
    assert list(rows) == ["tiny-spectral, 4 codebooks", "tiny-spectral, 2 codebooks", "opus"]
    assert rows["tiny-spectral, 4 codebooks"]["bits_per_second"] == 4 * 50 * 6
    assert rows["opus"]["tone_share"] > 0.8  # Opus holds a tone, random weights do not
    assert rows["tiny-spectral, 4 codebooks"]["tone_share"] < 0.3
    assert rows["opus"]["pitch_error_cents"] < 20
    [distance] = rows["opus"]["log_mel_distance"].values()
    assert 1 < distance < 30
    assert rows["tiny-spectral, 4 codebooks"]["real_time_factors"]["encode"] > 0
    assert (tmp_path / "out" / "glide.png").stat().st_size > 10_000
    assert "tiny-spectral, 4 codebooks" in capsys.readouterr().out


def test_an_empty_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["evaluate", "codec", "tiny-spectral", "--audio", str(tmp_path), "-o", str(tmp_path / "o")]) != 0
    )
    assert "no audio" in capsys.readouterr().err
