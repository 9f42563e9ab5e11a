"""Wav2CLIP: a file of the true names, what it does not mind, and files that are others."""

from pathlib import Path

import pytest
import torch
from made_sounds import strikes
from torchvision.models import resnet18

from vab.errors import WeightsError
from vab.metrics.wav2clip import SAMPLE_RATE, WIDTH, Wav2Clip

NOISE = 0.3 * torch.randn(1, 2 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Torchvision's network of one channel, the window of the spectrogram, and the layers into CLIP's space."""
    torch.manual_seed(0)
    tensors = {
        f"audio_encoder.{name}": value for name, value in resnet18(num_classes=309).state_dict().items()
    }
    tensors["audio_encoder.conv1.weight"] = torch.randn(64, 1, 7, 7) / 7
    tensors["audio_encoder.spectrogram.window"] = torch.hann_window(512)
    for side in ("audio", "image"):
        for layer in (0, 3):
            tensors[f"{side}_transform.sequential.{layer}.weight"] = torch.randn(512, 512) / 512**0.5
            tensors[f"{side}_transform.sequential.{layer}.bias"] = torch.zeros(512)
    return tensors


@pytest.fixture(scope="module")
def official(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wav2clip") / "Wav2CLIP.pt"
    torch.save(state, path)
    return path


def test_the_official_layout_loads_and_loudness_is_no_matter(official: Path) -> None:
    model = Wav2Clip(official)
    embedding = model.embed_audio(NOISE)
    assert embedding.shape == (WIDTH,)
    assert embedding.norm().item() == pytest.approx(1, abs=1e-5)
    louder, other = (
        (model.embed_audio(sound) - embedding).abs().max().item()
        for sound in (4 * NOISE, strikes([0.5, 1.5]))
    )
    assert louder < 1e-4
    assert other > 1e-3
    assert model.embed_audio(torch.zeros(1, 10)).isfinite().all()
    short = NOISE[:, : SAMPLE_RATE // 4]
    padded = torch.nn.functional.pad(short, (0, SAMPLE_RATE - short.shape[1]))
    assert torch.equal(model.embed_audio(short), model.embed_audio(padded))


def test_the_layers_into_clips_space_are_the_last(
    official: Path, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    turned = dict(state)
    turned["audio_transform.sequential.3.weight"] = state["audio_transform.sequential.3.weight"].roll(
        1, dims=0
    )
    torch.save(turned, tmp_path / "turned.pt")
    expected = Wav2Clip(official).embed_audio(NOISE).roll(1)
    assert torch.allclose(Wav2Clip(tmp_path / "turned.pt").embed_audio(NOISE), expected, atol=1e-5)


def test_other_files_are_one_line(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with pytest.raises(WeightsError, match="neither a file nor the name"):
        Wav2Clip(path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="not the state dict of Wav2CLIP"):
        Wav2Clip(path)
    for extra, message in (
        ({"audio_encoder.conv1.weight": torch.zeros(64, 3, 7, 7)}, "1 tensors of another shape"),
        ({"audio_encoder.layer5.0.conv1.weight": torch.zeros(1)}, "1 tensors unknown"),
    ):
        torch.save(state | extra, path)
        with pytest.raises(WeightsError, match=message):
            Wav2Clip(path)
    torch.save({"state_dict": state}, path)
    with pytest.raises(WeightsError, match="not the state dict of Wav2CLIP"):
        Wav2Clip(path)
