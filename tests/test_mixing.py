"""Two sounds as one: levels, ducking and loudness, measured on what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import write_tiny_clip, write_tiny_model

from tasks import cli
from vab import media
from vab.generation import SaveOptions
from vab.metrics.loudness import loudness
from vab.mixing import duck

RATE = 16_000


def noise(seconds: float, level: float) -> torch.Tensor:
    return level * torch.randn(1, round(seconds * RATE), generator=torch.Generator().manual_seed(0))


def test_the_own_audio_is_low_where_the_new_one_sounds_and_untouched_elsewhere() -> None:
    own, new = noise(4.0, 0.1), torch.zeros(1, 4 * RATE)
    new[:, 2 * RATE : 2 * RATE + RATE // 2] = noise(0.5, 0.3)
    change = 20 * (duck(own, new, RATE, depth=12.0) / own).abs().log10()[0]
    torch.testing.assert_close(change[:RATE], torch.zeros(RATE))
    torch.testing.assert_close(change[-RATE:], torch.zeros(RATE), atol=1e-3, rtol=0)
    sounding = change[2 * RATE - RATE // 10 : 2 * RATE + 6 * RATE // 10]
    torch.testing.assert_close(sounding, torch.full_like(sounding, -12.0), atol=1e-3, rtol=0)
    assert change.diff().abs().max() < 0.02  # it falls and rises without a step


@pytest.mark.parametrize("new", [torch.zeros(1, RATE), torch.zeros(1, 5), torch.zeros(1, 0)])
def test_silence_ducks_nothing(new: torch.Tensor) -> None:
    own = noise(new.shape[1] / RATE, 0.1)
    assert torch.equal(duck(own, new, RATE, depth=12.0), own)


def test_ducking_needs_something_to_duck() -> None:
    for options in ({"duck": 12.0}, {"duck": 0.0, "mix": 0.0}, {"duck": 90.0, "mix": 0.0}):
        with pytest.raises(ValueError, match="duck lowers what mix keeps"):
            SaveOptions(**options)


@pytest.mark.parametrize("target", [-16.0, -23.0])
@pytest.mark.parametrize("more", [[], ["--mix", "-6"], ["--mix", "-6", "--duck", "12"]])
def test_what_is_written_has_the_loudness_that_was_asked_for(
    tmp_path: Path, target: float, more: list[str]
) -> None:
    weights = write_tiny_model(tmp_path / "tiny.safetensors")
    clip = write_tiny_clip(tmp_path / "clip.mp4", 1.5)
    words = [str(clip), "-o", str(tmp_path / "out"), "--weights", str(weights), "--device", "cpu"]
    assert cli.main(["generate", *words, "--audio-only", "wav", "--loudness", str(target), *more]) == 0
    levels = loudness(media.read_audio(tmp_path / "out" / "clip.wav", RATE), RATE)
    assert levels.peak_db <= -0.9
    # What peaks would pass -1 dB is as loud as that allows.
    assert levels.lufs == pytest.approx(target, abs=0.2) or levels.peak_db == pytest.approx(-1.0, abs=0.1)
