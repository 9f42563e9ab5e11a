"""The spectral codec: its transform, its quantiser, its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vab.codecs import SpectralCodec, SpectralConfig, load_codec, save_codec
from vab.codecs.spectral import MDCT, ResidualQuantiser, nearest_entries
from vab.config import from_dict
from vab.errors import ConfigError


def test_transform_is_undone() -> None:
    """Steps beyond either end complete the overlap."""
    waveform = torch.randn(2, 6400, generator=torch.Generator().manual_seed(0))
    mdct = MDCT(320)
    cosines, _ = mdct(torch.nn.functional.pad(waveform, (320, 320)))
    assert cosines.shape == (2, 22, 320)
    torch.testing.assert_close(mdct.inverse(cosines), waveform, atol=1e-5, rtol=0)


def test_transform_is_the_definition() -> None:
    hop = 8
    waveform = torch.randn(1, 3 * hop, dtype=torch.float64)
    padded = torch.nn.functional.pad(waveform, (4, 4))[0]
    samples, window = (
        torch.arange(2 * hop) + 0.5,
        torch.sin(torch.pi * (torch.arange(2 * hop) + 0.5) / (2 * hop)),
    )
    expected = torch.stack(
        [
            torch.stack(
                [
                    (
                        padded[step * hop : (step + 2) * hop]
                        * window
                        * torch.cos(torch.pi / hop * (samples + hop / 2) * (k + 0.5))
                    ).sum()
                    * (2 / hop) ** 0.5
                    for k in range(hop)
                ]
            )
            for step in range(2)
        ]
    )
    found = MDCT(hop)(waveform.float())[0][0, :2]
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_power_of_a_tone_is_steady() -> None:
    """Cosine and sine coefficients together tell a tone's level whatever its phase."""
    times = torch.arange(16_000) / 16_000
    cosines, sines = MDCT(320)(torch.sin(2 * torch.pi * 1012.5 * times)[None])
    power = (cosines.square() + sines.square()).sum(dim=-1)[0, 1:-1]
    assert power.max() / power.min() < 1.01


def test_quantiser_takes_the_nearest_entry_of_what_is_left() -> None:
    quantiser = ResidualQuantiser(3, 16, 5)
    latents = torch.randn(2, 7, 5)
    codes = quantiser.encode(latents, 3)
    residual = latents
    for k in range(3):
        distances = (residual[:, :, None] - quantiser.codebooks[k]).square().sum(dim=-1)
        assert torch.equal(codes[:, k], distances.argmin(dim=-1))
        assert torch.equal(codes[:, k], nearest_entries(residual, quantiser.codebooks[k]))
        residual = residual - quantiser.codebooks[k][codes[:, k]]
    torch.testing.assert_close(quantiser.decode(codes), latents - residual)


def test_first_codebooks_hold_no_phase() -> None:
    codec = load_codec("tiny-spectral")
    assert isinstance(codec, SpectralCodec)
    times, config = torch.arange(16_000) / 16_000, codec.config
    sine, cosine = (wave(2 * torch.pi * 1012.5 * times)[None, None] for wave in (torch.sin, torch.cos))
    with torch.no_grad():
        difference = (codec.model.encode(sine) - codec.model.encode(cosine))[..., 15:-15].abs()
    assert difference[:, : config.coarse_dim].max() < 0.1
    assert difference[:, config.coarse_dim :].max() > 0.5
    coarse = config.num_coarse_codebooks
    assert codec.codebooks[:coarse, :, config.coarse_dim :].abs().max() == 0
    assert codec.codebooks[coarse:, :, : config.coarse_dim].abs().max() == 0


def test_fewer_codebooks_are_a_prefix() -> None:
    waveform = torch.randn(1, 1, 3200) * 0.3
    whole, coarse = load_codec("tiny-spectral"), load_codec("tiny-spectral", num_codebooks=2)
    assert torch.equal(coarse.encode(waveform), whole.encode(waveform)[:, :2])


def test_file(tmp_path: Path) -> None:
    codec = load_codec("tiny-spectral")
    save_codec(codec, tmp_path / "mine.safetensors", dtype=torch.float32)
    again = load_codec(str(tmp_path / "mine.safetensors"))
    assert isinstance(again, SpectralCodec)
    assert again.fingerprint == codec.fingerprint
    codes = codec.encode(torch.randn(1, 1, 3200))
    assert torch.equal(again.decode(codes), codec.decode(codes))
    with pytest.raises(ConfigError, match="hops"):
        from_dict(SpectralConfig, {"hops": 1}, source="test")
