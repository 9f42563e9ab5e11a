"""Cutting long sound into pieces changes nothing, whatever the network looks like."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vab.codecs.dac import DacConfig
from vab.codecs.encodec import EncodecConfig
from vab.codecs.frozen import FrozenCodec
from vab.codecs.loading import random_codec
from vab.codecs.pieces import Chain, reach

TINY = {"n_filters": 4, "dimension": 16, "codebook_size": 64}
CONFIGS = {
    "encodec": EncodecConfig(**TINY),
    "encodec without LSTM": EncodecConfig(**TINY, lstm=0),
    "causal encodec": EncodecConfig(**TINY, causal=True, true_skip=False, pad_mode="reflect"),
    "encodec, odd strides": EncodecConfig(**TINY, ratios=(7, 3), n_residual_layers=3, lstm=1),
    "dac": DacConfig(encoder_dim=4, decoder_dim=32, num_codebooks=4, codebook_size=64),
    "dac, 44.1 kHz": DacConfig(
        sample_rate=44_100,
        encoder_dim=4,
        encoder_rates=(2, 4, 8, 8),
        decoder_dim=32,
        decoder_rates=(8, 8, 4, 2),
        num_codebooks=2,
        codebook_size=64,
    ),
}


@pytest.fixture(params=CONFIGS)
def codec(request: pytest.FixtureRequest) -> FrozenCodec:
    return random_codec(CONFIGS[request.param])


@pytest.mark.parametrize("piece_steps", [23, 150])
def test_pieces_equal_the_whole(codec: FrozenCodec, piece_steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    num_steps = 307
    waveform = torch.randn(2, 1, num_steps * codec.hop_length - 5, generator=generator) * 0.3
    random_codes = torch.randint(
        codec.codebook_size, (2, codec.num_codebooks, num_steps), generator=generator
    )
    codec.piece_steps = num_steps
    codes, sound = codec.encode(waveform), codec.decode(random_codes)
    codec.piece_steps = piece_steps
    # Rounding may tip a tie between two entries; a seam would change every code around each border.
    assert (codec.encode(waveform) == codes).float().mean() > 0.9999
    torch.testing.assert_close(codec.decode(random_codes), sound, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["encodec", "dac"])
def test_25_seconds_as_by_default(name: str) -> None:
    codec = random_codec(CONFIGS[name])
    waveform = torch.randn(1, 1, 25 * 16_000, generator=torch.Generator().manual_seed(0)) * 0.3
    assert codec.piece_steps == 600
    codes = codec.encode(waveform)
    sound = codec.decode(codes)
    codec.piece_steps = 10**6
    assert (codec.encode(waveform) == codes).float().mean() > 0.9999
    torch.testing.assert_close(codec.decode(codes), sound, atol=1e-6, rtol=0)


def test_context_and_state_are_both_needed() -> None:
    """The comparison above can fail: without overlap, or without the carried state, seams appear."""
    codec = random_codec(CONFIGS["encodec"])
    codes = torch.randint(64, (1, 4, 300), generator=torch.Generator().manual_seed(0))
    whole = codec._decode_chain()
    assert whole.lstm is not None
    with torch.no_grad():
        for name, bias in whole.lstm.named_parameters():
            if name.startswith("bias_ih"):
                bias[whole.lstm.hidden_size : 2 * whole.lstm.hidden_size] = (
                    4.0  # forget gates open: long memory
                )
        exact = whole.whole(codes)

    def in_pieces(chain: Chain) -> torch.Tensor:
        return torch.cat(list(chain.pieces(codes, 50)), dim=-1)

    with torch.no_grad():
        torch.testing.assert_close(in_pieces(whole), exact, atol=1e-6, rtol=0)
        fields = {name: getattr(whole, name) for name in Chain.__dataclass_fields__}
        for without in ({"before_context": 0}, {"after_context": 0}):
            assert (in_pieces(Chain(**{**fields, **without})) - exact).abs().max() > 1e-4
        forgetful = {"before": lambda x: whole._recur(whole.before(x), None, None)[0], "lstm": None}
        assert (in_pieces(Chain(**{**fields, **forgetful})) - exact).abs().max() > 1e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_reach_covers_what_gradients_see(name: str) -> None:
    """The declared context is at least as wide as the true receptive field, to both sides."""
    codec = random_codec(CONFIGS[name])
    encoder, decoder = codec._encode_chain(), codec._decode_chain()
    middle = 40
    samples = torch.randn(1, 1, 2 * middle * codec.hop_length, requires_grad=True)
    hidden = encoder.before(samples)
    hidden[..., middle].sum().backward()
    assert samples.grad is not None
    seen = samples.grad[0, 0].nonzero()
    first = (middle * codec.hop_length - int(seen.min())) / codec.hop_length
    last = (int(seen.max()) - (middle + 1) * codec.hop_length) / codec.hop_length
    assert max(first, last) <= encoder.before_context

    width = codec.config.dimension if isinstance(codec.config, EncodecConfig) else codec.model.latent_dim
    if decoder.lstm is not None:
        width = decoder.lstm.hidden_size
    latents = torch.randn(1, width, 2 * middle, requires_grad=True)
    sound = decoder.after(latents)
    sound[..., middle * codec.hop_length : (middle + 1) * codec.hop_length].sum().backward()
    assert latents.grad is not None
    steps = latents.grad[0].abs().sum(0).nonzero()
    assert max(middle - int(steps.min()), int(steps.max()) - middle) <= decoder.after_context


def test_reach_of_known_stacks() -> None:
    assert reach([]) == 0
    assert reach([nn.Conv1d(1, 1, 7)]) == 6
    assert reach([nn.Conv1d(1, 1, 3, dilation=9), nn.ELU()]) == 18
    assert reach([nn.Conv1d(1, 1, 4, stride=2), nn.Conv1d(1, 1, 3)]) == 3 + 2 * 2
    assert reach([nn.ConvTranspose1d(1, 1, 16, stride=8), nn.Conv1d(1, 1, 9)]) == 2 + 1


def test_memory_does_not_grow_with_length() -> None:
    """What a piece feeds the network is bounded by the piece and its context."""
    codec = random_codec(CONFIGS["encodec"])
    codec.piece_steps = 100
    widest = 0

    def watch(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal widest
        widest = max(widest, inputs[0].shape[-1])

    codec.model.encoder.model[0].register_forward_pre_hook(watch)
    codec.encode(torch.randn(1, 1, 3000 * codec.hop_length))
    chain = codec._encode_chain()
    assert widest <= (100 + 2 * (chain.before_context + chain.after_context)) * codec.hop_length
