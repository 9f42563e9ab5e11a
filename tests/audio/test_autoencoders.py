"""What every audio autoencoder promises (``vab/audio/base.py``), at toy size: add yours to AUTOENCODERS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vab.audio import AudioAutoencoder, load_autoencoder
from vab.audio.base import LatentSound
from vab.codecs import load_codec
from vab.errors import WeightsError
from vab.features.audio_makers import latents_of
from vab.features.makers import StreamMaker


def tiny_audioldm2(folder: Path) -> AudioAutoencoder:
    """A random network of AudioLDM2's kind, written and read as it is published."""
    diffusers = pytest.importorskip("diffusers", reason="needs the extra vab[tiva]")
    transformers = pytest.importorskip("transformers", reason="needs the extra vab[tiva]")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        norm_num_groups=4,
        latent_channels=8,
        scaling_factor=0.5,
    )
    config = transformers.SpeechT5HifiGanConfig(
        model_in_dim=64,
        sampling_rate=16_000,
        upsample_initial_channel=16,
        upsample_rates=[5, 4, 8],
        upsample_kernel_sizes=[10, 8, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        normalize_before=False,
    )
    vae.save_pretrained(folder / "vae")
    transformers.SpeechT5HifiGan(config).save_pretrained(folder / "vocoder")
    return load_autoencoder(f"audioldm2:{folder}")


AUTOENCODERS: dict[str, Callable[[Path], AudioAutoencoder]] = {
    "spectral": lambda folder: load_autoencoder("tiny-spectral"),
    "audioldm2": tiny_audioldm2,
}


@pytest.fixture(scope="module", params=AUTOENCODERS)
def autoencoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AudioAutoencoder:
    return AUTOENCODERS[request.param](tmp_path_factory.mktemp("autoencoder"))


def noise(num_samples: int) -> torch.Tensor:
    return torch.randn(2, 1, num_samples, generator=torch.Generator().manual_seed(0)) * 0.1


def decoded(autoencoder: AudioAutoencoder, latents: torch.Tensor) -> torch.Tensor:
    return torch.cat(list(autoencoder.decode_pieces(latents)), dim=-1)


def test_protocol_and_lengths(autoencoder: AudioAutoencoder) -> None:
    assert isinstance(autoencoder, AudioAutoencoder)
    assert int(autoencoder.fingerprint, 16) >= 0 and len(autoencoder.fingerprint) == 16
    hop = round(autoencoder.sample_rate / autoencoder.rate)
    for length, steps in ((20 * hop, 20), (20 * hop - 1, 20), (1, 1)):
        latents = autoencoder.encode(noise(length))
        assert latents.shape == (2, steps, *autoencoder.latent_shape)
        assert latents.isfinite().all() and not latents.requires_grad
        sound = decoded(autoencoder, latents)
        assert sound.shape == (2, 1, steps * hop) and sound.isfinite().all()


def test_long_sound_is_done_in_pieces(autoencoder: AudioAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    hop = round(autoencoder.sample_rate / autoencoder.rate)
    waveform = noise(300 * hop)[:1]
    latents = autoencoder.encode(waveform)
    whole = decoded(autoencoder, latents)
    if hasattr(autoencoder, "codec"):
        monkeypatch.setattr(autoencoder.codec, "piece_steps", 90)
    else:
        monkeypatch.setattr("vab.audio.audioldm2.PIECE_STEPS", 90)
    pieces = list(autoencoder.decode_pieces(latents))
    assert len(pieces) == 4
    # The published autoencoder attends to all it sees, so its pieces are only nearly the whole.
    close: dict[str, Any] = {"atol": 1e-5 if hasattr(autoencoder, "codec") else 0.02, "rtol": 1e-3}
    torch.testing.assert_close(torch.cat(pieces, dim=-1), whole, **close)
    torch.testing.assert_close(autoencoder.encode(waveform), latents, **close | {"atol": close["atol"] * 5})


def test_a_sound_of_latents_is_as_long_as_it_is_said(autoencoder: AudioAutoencoder) -> None:
    sound = LatentSound(autoencoder.encode(noise(16_000))[0], autoencoder, 15_999)
    waveform = torch.cat(list(sound.pieces()), dim=1)
    assert waveform.shape == (1, 15_999) and waveform.abs().max() <= 1


def test_an_autoencoder_is_a_maker(autoencoder: AudioAutoencoder) -> None:
    maker = latents_of(autoencoder, "cpu")
    assert isinstance(maker, StreamMaker)
    stream = maker.describe("latents")
    assert (stream.kind, stream.shape) == ("latents", autoencoder.latent_shape)
    latents, lengths = maker.encode([noise(8_000)[0], noise(40_000)[0]], 2.0)
    assert latents.shape == stream.batch_shape(2, stream.num_steps(2.0))
    assert lengths.tolist() == [stream.num_steps(0.5), stream.num_steps(2.0)]


def test_spectral_latents_quantised_are_the_codec_s_codes() -> None:
    codec = load_codec("tiny-spectral")
    autoencoder = load_autoencoder("tiny-spectral")
    latents = autoencoder.encode(noise(16_000))
    assert torch.equal(codec.model.quantiser.encode(latents, 4), codec.encode(noise(16_000)))  # type: ignore[operator, union-attr]


def test_what_cannot_be_an_autoencoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="latents of a spectral codec"):
        load_autoencoder("tiny-dac")
    with pytest.raises(WeightsError, match=r"no AudioLDM2 with|pip install 'vab\[tiva\]'"):
        load_autoencoder(f"audioldm2:{tmp_path}")
