"""The training of both codec architectures: where codebooks start and how they follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tasks.demo.training.codec import (
    CONTEXT_STEPS,
    CodecReconstruction,
    CodedPieces,
    CodePieces,
    DecoderReconstruction,
    distance_from_white,
)
from tasks.demo.training.quantisers import DacQuantiser, EncodecQuantiser
from vab.codecs import DacCodec, DacConfig, EncodecCodec, EncodecConfig, build_dac, build_encodec
from vab.shapes import Tensor

LEVELS = 4


DAC = DacConfig(
    encoder_dim=4, encoder_rates=(8, 5, 4, 2), decoder_dim=32, decoder_rates=(2, 4, 5, 8),
    num_codebooks=LEVELS, codebook_size=16,
)  # fmt: skip
ENCODEC = EncodecConfig(
    n_filters=4, dimension=8, ratios=(2, 4, 5, 8), lstm=0, num_codebooks=LEVELS, codebook_size=16
)


def _dac() -> Any:
    torch.manual_seed(0)
    return build_dac(DAC)


def _encodec() -> Any:
    torch.manual_seed(0)
    return build_encodec(ENCODEC)


def _latents(width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, width, 30, generator=generator) * torch.linspace(3, 0.1, width)[:, None] + 0.5


def _started() -> tuple[DacQuantiser, Tensor]:
    quantiser = DacQuantiser(_dac()).train()
    latents = _latents(64)
    quantiser.start(latents, generator=torch.Generator().manual_seed(0))
    return quantiser, latents


@torch.no_grad()
def _errors(quantiser: DacQuantiser, latents: Tensor) -> list[float]:
    codes = quantiser.codes(latents)
    return [
        (quantiser.decode(codes[:count]) - latents).square().mean().item() for count in range(1, LEVELS + 1)
    ]


def test_a_dac_starts_with_levels_that_each_take_error_away() -> None:
    quantiser, latents = _started()
    errors = _errors(quantiser, latents)
    assert errors[0] < latents.square().mean().item()
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.8 * errors[0]


def test_a_dacs_entries_follow_the_latents() -> None:
    quantiser, latents = _started()
    moved = latents + 1.0
    before = _errors(quantiser, moved)[0]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(30):
            quantiser(moved, generator=generator)
    assert _errors(quantiser, moved)[0] < 0.9 * before


def test_a_dac_is_trained_on_all_its_levels_at_once() -> None:
    quantiser, latents = _started()
    whole = quantiser.decode(quantiser.codes(latents))
    quantised, penalty = quantiser(latents.requires_grad_(), generator=torch.Generator().manual_seed(3))
    assert torch.allclose(quantised, whole, atol=1e-4)
    (quantised.sum() + penalty).backward()
    assert latents.grad is not None and latents.grad.abs().sum() > 0
    again, _ = _started()[0](latents.detach(), generator=torch.Generator().manual_seed(3))
    assert torch.equal(again, quantised)


@pytest.mark.parametrize(("make", "quantiser"), [(_dac, DacQuantiser), (_encodec, EncodecQuantiser)])
def test_either_codec_learns_to_reconstruct(make: Any, quantiser: Any) -> None:
    model = make()
    objective = CodecReconstruction(model, quantiser(model), warmup_batches=2).train()
    time = torch.arange(3200) / 16000
    batch = (
        0.3 * torch.sin(2 * torch.pi * torch.tensor([200.0, 300.0, 500.0, 800.0])[:, None] * time)[:, None]
    )
    optimizer = torch.optim.AdamW(objective.parameters(), 3e-3)
    losses = []
    for step in range(30):
        scalars = objective(batch, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        scalars["loss"].backward()
        optimizer.step()
        losses.append(scalars["spectrum"].item())
        assert (scalars["penalty"] > 0) == (step >= 2)
    assert min(losses[-3:]) < 0.8 * losses[0]
    scores = objective.evaluate(batch, generator=torch.Generator())
    assert 0 < scores["codebook_usage"] <= 1


@pytest.mark.parametrize(
    ("codec", "quantiser"),
    [
        (lambda: DacCodec(_dac(), DAC), DacQuantiser),
        (lambda: EncodecCodec(_encodec(), ENCODEC), EncodecQuantiser),
    ],
)
def test_a_decoder_alone_learns_from_codes_that_stay(codec: Any, quantiser: Any) -> None:
    codec = codec()
    quantiser = quantiser(codec.model)
    generator = torch.Generator().manual_seed(0)
    quantiser.start(codec.model.encoder(torch.randn(4, 1, 16000, generator=generator)), generator=generator)
    codes = torch.randint(0, 16, (2, LEVELS, 10 + 2 * CONTEXT_STEPS), generator=generator)
    time = torch.arange(10 * codec.hop_length) / codec.sample_rate
    waveform = 0.3 * torch.sin(2 * torch.pi * torch.tensor([200.0, 300.0])[:, None] * time)[:, None]
    objective = DecoderReconstruction(codec, quantiser).train()
    before = {name: value.clone() for name, value in codec.model.state_dict().items()}
    learns = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learns, 3e-3)
    losses = []
    for _ in range(30):
        scalars = objective(CodedPieces(waveform, codes), generator=generator)
        optimizer.zero_grad()
        scalars["loss"].backward()
        optimizer.step()
        losses.append(scalars["spectrum"].item())
    assert min(losses[-3:]) < 0.8 * losses[0]
    changed = {
        name for name, value in codec.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed and all(name.startswith("decoder.") for name in changed)
    assert objective.evaluate(CodedPieces(waveform, codes), generator=generator)["spectrum"] < losses[0]


def test_pieces_of_sound_come_with_their_codes_and_some_around_them() -> None:
    steps, hop = 40, 5
    codes = np.arange(steps, dtype=np.uint8)[None, None].repeat(LEVELS, axis=1)
    waveforms = codes[:, 0].repeat(hop, axis=1).astype(np.int16)  # each sample says which code is its own
    pieces = CodePieces(waveforms, codes, num_steps=7)
    batch = pieces.__getitems__([(0, seed) for seed in range(50)])
    inner = batch.codes[..., CONTEXT_STEPS:-CONTEXT_STEPS]
    assert inner.shape == (50, LEVELS, 7)
    said = (batch.waveform[:, 0] * 32768).long().unflatten(1, (7, hop))
    assert torch.equal(said, inner[:, 0, :, None].expand_as(said))
    assert torch.equal(batch.codes[:, 0].diff(dim=1), torch.ones(50, 6 + 2 * CONTEXT_STEPS, dtype=torch.long))
    assert {int(row[0, 0]) for row in batch.codes} >= {
        0,
        steps - 7 - 2 * CONTEXT_STEPS,
    }  # both ends are reached


def test_latents_that_leave_room_unused_cost_the_more_the_less_they_use() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(4, 6, 5000, generator=generator)
    assert distance_from_white(white + 3.0).item() < 0.01  # about the mean
    assert distance_from_white(torch.zeros(4, 6, 50)).item() == pytest.approx(1.0)
    mixed = white.clone()
    mixed[:, 1] = mixed[:, 0]  # one number said twice
    assert distance_from_white(mixed).item() == pytest.approx(2 / 6, abs=0.02)
    weak = white * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.1, 0.1])[:, None]
    assert distance_from_white(weak).item() == pytest.approx(2 * 0.99**2 / 6, abs=0.02)
