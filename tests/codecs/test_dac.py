"""DAC: our adapter against the package's own calls, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vab.codecs.dac import DAC_44KHZ, DacCodec, DacConfig, build_dac
from vab.codecs.loading import load_codec, random_codec
from vab.config import from_dict
from vab.errors import ConfigError, WeightsError

TINY = DacConfig(encoder_dim=4, decoder_dim=32, num_codebooks=4, codebook_size=64)


@pytest.fixture(scope="module")
def codec() -> DacCodec:
    codec = random_codec(TINY)
    assert isinstance(codec, DacCodec)
    return codec


def test_equals_the_library(codec: DacCodec) -> None:
    waveform = torch.randn(2, 1, 16_000 - 50, generator=torch.Generator().manual_seed(1)) * 0.3
    with torch.no_grad():
        _, codes, *_ = codec.model.encode(codec.model.preprocess(waveform, 16_000))
        sound = codec.model.decode(codec.model.quantizer.from_codes(codes)[0])
    assert torch.equal(codec.encode(waveform), codes)
    decoded = codec.decode(codes)
    assert sound.shape[-1] == 16_000 - 8
    assert torch.equal(decoded[..., :-8], sound)
    assert decoded.shape[-1] == 16_000
    assert (decoded[..., -8:] == 0).all()


def test_a_prefix_of_levels(codec: DacCodec) -> None:
    waveform = torch.randn(1, 1, 8000) * 0.3
    coarse = DacCodec(codec.model, TINY, num_codebooks=2)
    assert torch.equal(coarse.encode(waveform), codec.encode(waveform)[:, :2])
    assert coarse.codebooks.shape == (2, 64, 8)
    assert coarse.decode(coarse.encode(waveform)).shape == (1, 1, 8000)


def test_stays_in_evaluation_mode(codec: DacCodec) -> None:
    """In training mode the package ignores the number of levels."""
    coarse = DacCodec(codec.model, TINY, num_codebooks=2)
    torch.nn.ModuleList([coarse]).train()
    assert not codec.model.training
    assert coarse.encode(torch.randn(1, 1, 3200)).shape == (1, 2, 10)


def write_weights(path: Path, **changes: Any) -> DacCodec:
    """A file exactly as the package's own ``save`` writes it."""
    codec = random_codec(TINY)
    codec.model.save(str(path), package=False, **changes)
    assert isinstance(codec, DacCodec)
    return codec


def test_packages_own_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    saved = write_weights(path, metadata={"steps": 400_000})
    codec = load_codec(str(path))
    assert codec.name == "weights"
    assert codec.config == DacConfig(**{**vars(TINY), "latent_dim": 64})
    waveform = torch.randn(1, 1, 8000)
    assert torch.equal(codec.encode(waveform), saved.encode(waveform))
    assert not any(parameter.requires_grad for parameter in codec.parameters())
    assert load_codec("dac-16khz", weights=path, num_codebooks=3).encode(waveform).shape == (1, 3, 25)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    write_weights(path)
    with pytest.raises(WeightsError, match="dac at 16000 Hz with hop 320, not dac at 44100"):
        load_codec("dac-44khz", weights=path)
    content = torch.load(path)
    content["state_dict"].pop("quantizer.quantizers.0.codebook.weight")
    torch.save(content, path)
    with pytest.raises(WeightsError, match="1 tensors missing"):
        load_codec(str(path))
    content["metadata"]["kwargs"]["encoder_rates"] = [2, 2]
    torch.save(content, path)
    with pytest.raises(WeightsError, match="disagree"):
        load_codec(str(path))


def test_config_is_checked() -> None:
    with pytest.raises(ConfigError, match="disagree"):
        DacConfig(encoder_rates=(2, 4))
    with pytest.raises(ConfigError, match="n_codebooks"):
        from_dict(DacConfig, {"n_codebooks": 3}, source="test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "millions", "frame_rate", "shape"),
    [(DacConfig(), 74.18, 50.0, (1, 12, 100)), (DAC_44KHZ, 76.65, 86.1328125, (1, 9, 173))],
)
def test_published_sizes(
    config: DacConfig, millions: float, frame_rate: float, shape: tuple[int, ...]
) -> None:
    codec = DacCodec(build_dac(config), config)
    assert sum(parameter.numel() for parameter in codec.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.01
    )
    assert codec.frame_rate == pytest.approx(frame_rate)
    codes = codec.encode(torch.randn(1, 1, 2 * config.sample_rate))
    assert codes.shape == shape
    assert codec.decode(codes).shape == (1, 1, shape[-1] * codec.hop_length)
