"""VGGish: its front end by hand, and a file of the true format with random weights."""

from pathlib import Path

import pytest
import torch
from made_sounds import strikes

from vab.errors import WeightsError
from vab.metrics.vggish import SAMPLE_RATE, VGGish, VGGishFeatures, log_mel_patches


def test_ten_seconds_are_ten_patches_and_silence_is_the_offset():
    patches = log_mel_patches(torch.zeros(1, 10 * SAMPLE_RATE))
    assert patches.shape == (10, 1, 96, 64)
    assert torch.allclose(patches, torch.tensor(0.01).log())
    assert log_mel_patches(torch.zeros(1, 100)).shape == (1, 1, 96, 64)


def test_a_tone_stands_in_its_band():
    clock = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    patch = log_mel_patches(torch.sin(2 * torch.pi * 1000 * clock)[None])[0, 0, 10]
    mel = 1127 * torch.tensor([125.0, 1000.0, 7500.0]).div(700).log1p()
    place = ((mel[1] - mel[0]) / (mel[2] - mel[0]) * 65).item() - 1
    assert patch.argmax().item() == pytest.approx(place, abs=0.6)
    # All energy of a full-scale sine falls into a few bins: magnitude half the window's sum at the centre one.
    assert patch.max().item() == pytest.approx(torch.tensor(100.0).log().item(), abs=0.7)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.manual_seed(0)
    torch.save(VGGish().state_dict(), path)
    return path


def test_the_official_layout_loads_and_sounds_differ(official: Path) -> None:
    state = torch.load(official, weights_only=True)
    assert {key: tuple(state[key].shape) for key in ("features.0.weight", "features.13.bias")} == {
        "features.0.weight": (64, 1, 3, 3),
        "features.13.bias": (512,),
    }
    assert tuple(state["embeddings.0.weight"].shape) == (4096, 12288)
    assert tuple(state["embeddings.4.weight"].shape) == (128, 4096)
    features = VGGishFeatures(official)
    rows = features(strikes([0.5, 1.5], seconds=2.5))
    assert rows.shape == (2, 128)
    assert rows.isfinite().all()
    assert not torch.allclose(rows, features(torch.zeros(1, 40_000)))
    assert (rows < 0).any()  # before the last activation


def test_other_files_are_one_line(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="do not fit the architecture"):
        VGGishFeatures(tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="not the state dict of VGGish"):
        VGGishFeatures(tmp_path / "list.pth")
