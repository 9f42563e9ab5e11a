"""What every codec promises (``vab/codecs/base.py``), at toy size: add yours to CODECS."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch

from vab.codecs import Codec, DacConfig, EncodecConfig, load_codec
from vab.codecs.loading import random_codec

CODECS: dict[str, Callable[[], Codec]] = {
    "tiny-encodec": lambda: load_codec("tiny-encodec"),
    "tiny-encodec, 2 levels": lambda: load_codec("tiny-encodec", num_codebooks=2),
    "causal encodec": lambda: random_codec(
        EncodecConfig(n_filters=4, dimension=16, codebook_size=32, causal=True, true_skip=False)
    ),
    "tiny-dac": lambda: load_codec("tiny-dac"),
    "tiny-spectral": lambda: load_codec("tiny-spectral"),
    "44.1 kHz dac": lambda: random_codec(
        DacConfig(
            sample_rate=44_100,
            encoder_dim=4,
            encoder_rates=(2, 4, 8, 8),
            decoder_dim=32,
            decoder_rates=(8, 8, 4, 2),
            num_codebooks=3,
            codebook_size=32,
        )
    ),
}


@pytest.fixture(scope="module", params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param]()


def noise(codec: Codec, num_samples: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 1, num_samples, generator=torch.Generator().manual_seed(0)) * 0.3


def test_protocol_and_rates(codec: Codec) -> None:
    assert isinstance(codec, Codec)
    assert codec.frame_rate == codec.sample_rate / codec.hop_length
    for number in (codec.sample_rate, codec.hop_length, codec.num_codebooks, codec.codebook_dim):
        assert type(number) is int  # JSON takes no numpy numbers
    assert len(codec.fingerprint) == 16
    assert int(codec.fingerprint, 16) >= 0


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_lengths(codec: Codec, extra: int) -> None:
    length = 20 * codec.hop_length + extra
    codes = codec.encode(noise(codec, length))
    num_steps = 20 + (extra > 0)
    assert codes.shape == (2, codec.num_codebooks, num_steps)
    assert codes.dtype == torch.int64
    assert codes.min() >= 0
    assert codes.max() < codec.codebook_size
    waveform = codec.decode(codes)
    assert waveform.shape == (2, 1, num_steps * codec.hop_length)
    assert waveform.dtype == torch.float32
    assert torch.isfinite(waveform).all()


def test_one_sample_and_nothing(codec: Codec) -> None:
    assert codec.encode(noise(codec, 1)).shape == (2, codec.num_codebooks, 1)
    assert codec.encode(noise(codec, 0)).shape == (2, codec.num_codebooks, 0)
    nothing = torch.zeros(2, codec.num_codebooks, 0, dtype=torch.int64)
    assert codec.decode(nothing).shape == (2, 1, 0)
    assert codec.encode(noise(codec, 100, batch=0)).shape[0] == 0


def test_tail_is_zero_padded(codec: Codec) -> None:
    short = noise(codec, 10 * codec.hop_length - 100)
    padded = torch.nn.functional.pad(short, (0, 100))
    assert torch.equal(codec.encode(short), codec.encode(padded))


def test_batch_equals_singles(codec: Codec) -> None:
    waveform = noise(codec, 30 * codec.hop_length, batch=3)
    codes = codec.encode(waveform)
    singles = torch.cat([codec.encode(each[None]) for each in waveform])
    assert (codes == singles).float().mean() > 0.999
    sound = codec.decode(codes)
    torch.testing.assert_close(
        sound, torch.cat([codec.decode(each[None]) for each in codes]), atol=1e-5, rtol=1e-4
    )


def test_pieces_make_up_the_whole(codec: Codec) -> None:
    codes = codec.encode(noise(codec, 150 * codec.hop_length, batch=1))
    shorter = copy.deepcopy(codec)
    shorter.piece_steps = 60  # type: ignore[attr-defined]
    stream = shorter.decode_pieces(codes)
    first = next(stream)
    assert torch.is_grad_enabled()
    pieces = [first, *stream]
    assert len(pieces) > 2
    torch.testing.assert_close(torch.cat(pieces, dim=-1), codec.decode(codes), atol=1e-6, rtol=0)
    assert not any(piece.requires_grad for piece in pieces)
    with pytest.raises(ValueError, match="codes must be"):
        next(iter(codec.decode_pieces(codes + codec.codebook_size)))


def test_codes_out_of_range_are_refused(codec: Codec) -> None:
    codes = codec.encode(noise(codec, 5 * codec.hop_length))
    codes[0, -1, -1] = codec.codebook_size
    with pytest.raises(ValueError, match=r"\[MASK\]"):
        codec.decode(codes)
    codes[0, -1, -1] = -1
    with pytest.raises(ValueError, match="found -1"):
        codec.decode(codes)


def test_wrong_sound_is_refused(codec: Codec) -> None:
    broken = noise(codec, 1000)
    broken[0, 0, 500] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        codec.encode(broken)


def test_codebooks(codec: Codec) -> None:
    vectors = codec.codebooks
    assert vectors.shape == (codec.num_codebooks, codec.codebook_size, codec.codebook_dim)
    assert not vectors.requires_grad
    before = vectors.clone()
    vectors.zero_()
    assert torch.equal(codec.codebooks, before)


def test_no_gradients_and_no_inference_tensors(codec: Codec) -> None:
    codes = codec.encode(noise(codec, 1000).requires_grad_())
    assert not codec.decode(codes).requires_grad
    embedding = torch.nn.Embedding(codec.codebook_size, 4)
    embedding(codes).sum().backward()  # codes may enter a model that is being trained
    assert embedding.weight.grad is not None


def test_deterministic(codec: Codec) -> None:
    waveform = noise(codec, 10 * codec.hop_length)
    codes = codec.encode(waveform)
    assert torch.equal(codes, codec.encode(waveform))
    assert torch.equal(codec.decode(codes), codec.decode(codes))


def test_survives_copy_and_pickle(codec: Codec) -> None:
    """Worker processes get their own."""
    codes = codec.encode(noise(codec, 1000))
    assert torch.equal(copy.deepcopy(codec).decode(codes), codec.decode(codes))
    assert pickle.loads(pickle.dumps(codec)).fingerprint == codec.fingerprint
