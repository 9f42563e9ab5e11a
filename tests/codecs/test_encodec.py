"""EnCodec: our adapter against the package's own calls."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from vab.codecs.encodec import EncodecCodec, EncodecConfig, build_encodec
from vab.codecs.frozen import library_warnings_hidden
from vab.codecs.loading import ENCODEC_24KHZ, load_codec, random_codec
from vab.config import from_dict
from vab.errors import ConfigError

TINY = EncodecConfig(n_filters=4, dimension=16, codebook_size=64)


@pytest.fixture(scope="module")
def codec() -> EncodecCodec:
    codec = random_codec(TINY)
    assert isinstance(codec, EncodecCodec)
    return codec


def test_equals_the_library(codec: EncodecCodec) -> None:
    waveform = torch.randn(2, 1, 16_000, generator=torch.Generator().manual_seed(1)) * 0.3
    with torch.no_grad():
        frames = codec.model.encode(waveform)
        sound = codec.model.decode(frames)
    assert torch.equal(codec.encode(waveform), frames[0][0])
    assert torch.equal(codec.decode(frames[0][0]), sound)
    assert frames[0][1] is None


def test_every_level_has_its_own_codes(codec: EncodecCodec) -> None:
    codes = codec.encode(torch.randn(1, 1, 32_000) * 0.3)
    assert all(len(codes[:, level].unique()) > 4 for level in range(codec.num_codebooks))


def test_codebooks_are_the_networks(codec: EncodecCodec) -> None:
    codes = torch.randint(64, (1, 4, 5))
    summed = sum(codec.codebooks[level][codes[:, level]] for level in range(4))
    with torch.no_grad():
        expected = codec.model.quantizer.decode(codes.transpose(0, 1))
    torch.testing.assert_close(summed.transpose(1, 2), expected)


def test_a_prefix_of_levels(codec: EncodecCodec) -> None:
    waveform = torch.randn(1, 1, 8000) * 0.3
    coarse = EncodecCodec(codec.model, TINY, num_codebooks=2)
    assert coarse.num_codebooks == 2
    assert coarse.codebooks.shape == (2, 64, 16)
    assert torch.equal(coarse.encode(waveform), codec.encode(waveform)[:, :2])
    assert coarse.decode(coarse.encode(waveform)).shape == (1, 1, 8000)
    assert coarse.fingerprint == codec.fingerprint


@pytest.mark.parametrize("num_codebooks", [0, 5])
def test_impossible_levels_are_refused(codec: EncodecCodec, num_codebooks: int) -> None:
    with pytest.raises(ValueError, match=r"within 1\.\.4"):
        EncodecCodec(codec.model, TINY, num_codebooks=num_codebooks)


def test_24khz_preset_is_the_packages() -> None:
    from encodec.model import EncodecModel

    ours = load_codec("encodec-24khz", weights="random")
    with library_warnings_hidden():
        theirs = EncodecModel.encodec_model_24khz(pretrained=False)
    theirs.load_state_dict(ours.model.state_dict(), strict=True)
    theirs.set_target_bandwidth(6.0)
    waveform = torch.randn(1, 1, 24_000) * 0.3
    with torch.no_grad():
        frames = theirs.encode(waveform)
        assert torch.equal(ours.encode(waveform), frames[0][0])
        assert torch.equal(ours.decode(frames[0][0]), theirs.decode(frames))
    assert (ours.num_codebooks, ours.frame_rate, ours.codebook_size) == (8, 75.0, 1024)
    assert ENCODEC_24KHZ.num_codebooks == 32


def test_model_can_be_trained() -> None:
    model = build_encodec(TINY)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    latents = model.encoder(torch.randn(2, 1, 16_000))
    result = model.quantizer(latents, model.frame_rate)
    sound = model.decoder(result.quantized)
    (sound.pow(2).mean() + result.penalty).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_config_is_checked() -> None:
    with pytest.raises(ConfigError, match="power of two"):
        EncodecConfig(codebook_size=1000)
    with pytest.raises(ConfigError, match="norm"):
        EncodecConfig(norm="time_group_norm")
    with pytest.raises(ConfigError, match="bins"):
        from_dict(EncodecConfig, {"bins": 3}, source="test")
    assert from_dict(EncodecConfig, dataclasses.asdict(TINY), source="test") == TINY
    assert from_dict(EncodecConfig, {"ratios": [4, 2]}, source="test").hop_length == 8


@pytest.mark.slow
def test_paper_size() -> None:
    """FACTS of the published checkpoint: 56.8 M parameters, 4 x 500 codes and 160,000 samples for 10 s."""
    codec = load_codec("encodec-16khz", weights="random")
    assert sum(parameter.numel() for parameter in codec.parameters()) == 56_819_138
    assert len(codec.model.state_dict()) == 116
    codes = codec.encode(torch.randn(1, 1, 160_000) * 0.1)
    assert codes.shape == (1, 4, 500)
    assert codes.dtype == torch.int64
    assert codec.decode(codes).shape == (1, 1, 160_000)
    assert codec.codebooks.shape == (4, 2048, 128)
    waveform = torch.randn(1, 1, 25 * 16_000) * 0.1
    in_pieces = codec.encode(waveform)
    sound = codec.decode(in_pieces)
    codec.piece_steps = in_pieces.shape[-1]
    assert (codec.encode(waveform) == in_pieces).float().mean() > 0.999
    torch.testing.assert_close(codec.decode(in_pieces), sound, atol=1e-5, rtol=0)
