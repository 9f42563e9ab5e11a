"""Training of the spectral codec, at toy size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.demo.training.options import CodecLossWeights
from tasks.demo.training.sounds import SoundPieces, read_pool, recordings_in, synthetic_tones
from tasks.demo.training.spectral import (
    CodebookLearner,
    Distances,
    SpectralReconstruction,
    distance_from_white,
)
from vab import media
from vab.codecs import SpectralConfig
from vab.codecs.spectral import SpectralNetwork
from vab.errors import ConfigError

RATE = 16_000
TINY = SpectralConfig(
    width=32,
    num_encoder_blocks=1,
    num_decoder_blocks=1,
    num_mels=24,
    coarse_width=16,
    coarse_dim=6,
    detail_dim=8,
    num_coarse_codebooks=2,
    num_codebooks=6,
    codebook_size=16,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_few_steps_lower_the_loss_and_fill_the_codebooks() -> None:
    torch.manual_seed(0)
    network, tones = SpectralNetwork(TINY), SoundPieces({}, {"tones": 1.0}, RATE // 2, RATE)
    objective = SpectralReconstruction(network, CodecLossWeights(), num_unquantised_batches=5)
    optimizer = torch.optim.AdamW(objective.parameters(), 3e-3)
    losses = []
    for step in range(25):
        parts = objective(
            tones.__getitems__([(0, 8 * step + i) for i in range(8)]), generator=generator(step)
        )
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(parts["loss"].item() - 0.02 * parts["commitment"].item())
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    measured = objective.evaluate(tones.__getitems__([(0, i) for i in range(8)]), generator=generator())
    assert measured["codebook_usage"] > 0.5
    assert objective.num_batches == 25
    assert network.quantiser.codebooks[:2, :, 6:].abs().max() == 0
    assert network.quantiser.codebooks[2:, :, :6].abs().max() == 0


def test_codebooks_follow_clusters_and_dead_entries_revive() -> None:
    centres = torch.eye(8)[:4] * 10
    rows = centres[torch.randint(4, (400,), generator=generator())] + 0.01 * torch.randn(400, 8)
    codebooks = torch.full((1, 6, 8), 100.0)  # all out of reach, all alike: one is chosen, five are dead
    learner = CodebookLearner(*codebooks.shape)
    learner.sums.copy_(codebooks)
    for step in range(300):
        learner(rows, codebooks, starts=False, generator=generator(step))
    assert torch.cdist(centres, codebooks[0]).min(dim=1).values.max() < 0.5
    learner.start(rows, codebooks, generator=generator())
    assert torch.cdist(centres, codebooks[0]).min(dim=1).values.max() < 0.5


def test_gradients_pass_the_quantiser() -> None:
    rows = torch.randn(20, 4, requires_grad=True)
    quantised, commitment = CodebookLearner(2, 8, 4)(
        rows, torch.randn(2, 8, 4), starts=False, generator=generator()
    )
    quantised.sum().backward()
    assert torch.equal(rows.grad, torch.ones_like(rows))  # type: ignore[arg-type]
    assert commitment > 0


def test_distances_are_zero_for_the_same_sound_and_see_phase() -> None:
    distances = Distances(RATE)
    times = torch.arange(RATE) / RATE
    sound = torch.sin(2 * torch.pi * 440 * times)[None]
    assert all(value == 0 for value in distances(sound, sound).values())
    turned = distances(torch.cos(2 * torch.pi * 440 * times)[None], sound)
    assert turned["phase"] > 1
    assert turned["magnitude"] < 0.1


def test_whiteness_is_of_rows_that_say_nothing_known() -> None:
    rows, other = torch.randn(2, 100_000, 4, generator=generator())
    assert distance_from_white(rows, other) < 0.01
    assert distance_from_white(rows, rows + 0.1 * other) > 0.5
    assert distance_from_white(torch.ones(10, 4), other[:10]) > 2


def test_pieces_depend_on_the_seed_alone() -> None:
    pools = {"one": np.arange(-3000, 3000, dtype=np.int16)}
    pieces = SoundPieces(pools, {"one": 0.5, "tones": 0.5, "absent": 1.0}, 1000, RATE)
    first = pieces.__getitems__([(0, 1), (0, 2)])
    assert first.shape == (2, 1, 1000)
    assert first.dtype == torch.float32
    assert torch.equal(first, pieces.__getitems__([(5, 1), (7, 2)]))
    assert not torch.equal(first, pieces.__getitems__([(0, 3), (0, 4)]))


@pytest.mark.parametrize("seed", range(20))
def test_tones_stay_in_range(seed: int) -> None:
    sound = synthetic_tones(RATE, RATE, np.random.default_rng(seed))
    assert np.isfinite(sound).all()
    assert 0.05 < np.abs(sound).max() <= 0.7


def test_pools_are_files_end_to_end(tmp_path: Path) -> None:
    for name, level in (("a", 0.25), ("b", -0.5)):
        media.write_audio(tmp_path / f"{name}.wav", [torch.full((1, 800), level)], RATE)
    pool = read_pool(recordings_in([tmp_path]), RATE)
    assert pool.dtype == np.int16
    assert len(pool) == 1600
    assert pool[400] == pytest.approx(8192, abs=2)
    assert pool[1200] == pytest.approx(-16384, abs=2)
    with pytest.raises(ConfigError, match="no audio files"):
        recordings_in([tmp_path / "nothing"])
