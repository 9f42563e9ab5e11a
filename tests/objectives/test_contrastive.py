"""Adaptation for retrieval: the loss against its formula, chunks and processes that change nothing."""

import math
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F
from tiny import shaken, tiny_config, write_tiny_model

from vab.errors import WeightsError
from vab.features.batch import FeatureBatch
from vab.models.files import load_model
from vab.models.vab.encoder import VABEncoder, encoder_of, load_encoder_of, save_encoder
from vab.models.vab.model import VAB
from vab.nn.pooling import WAVE_SECONDS, TimedPool, mean_pool
from vab.objectives.contrastive import ContrastiveAdaptation, contrastive_loss
from vab.objectives.options import ContrastiveOptions


def _batch(rows: slice = slice(None), size: int = 6) -> FeatureBatch:
    generator = torch.Generator().manual_seed(0)
    config = tiny_config()
    batch = FeatureBatch(
        streams={
            "codes": torch.randint(
                0, config.codebook_size, (size, config.num_codebooks, 20), generator=generator
            ),
            "clip": torch.randn(size, 4, config.visual_dim, generator=generator),
        },
        is_valid={
            "codes": torch.arange(20) < torch.tensor([20, 20, 12, 20, 5, 20])[:size, None],
            "clip": torch.arange(4) < torch.tensor([4, 4, 2, 4, 1, 4])[:size, None],
        },
        ids=tuple(map(str, range(size))),
        labels=((),) * size,
    )
    return FeatureBatch(
        {name: features[rows] for name, features in batch.streams.items()},
        {name: is_valid[rows] for name, is_valid in batch.is_valid.items()},
        batch.ids[rows],
        batch.labels[rows],
    )


def _objective(time_waves: int = 0, **options: object) -> ContrastiveAdaptation:
    torch.manual_seed(0)
    encoder = shaken(VABEncoder(tiny_config()).with_time_waves(time_waves), 0.1)
    return ContrastiveAdaptation(encoder, ContrastiveOptions(**options))  # type: ignore[arg-type]


def _gradients(objective: ContrastiveAdaptation, batch: FeatureBatch) -> dict[str, torch.Tensor]:
    objective.zero_grad()
    objective(batch, generator=torch.Generator())["loss"].backward()
    return {name: parameter.grad.clone() for name, parameter in objective.named_parameters()}  # type: ignore[union-attr]


def test_loss_is_equation_4_and_its_mirror_image() -> None:
    audio, visual = (F.normalize(torch.randn(5, 3), dim=1) for _ in range(2))
    tau = 0.05
    similarity = [[math.exp(float(a @ v) / tau) for v in visual] for a in audio]
    by_sound = -sum(math.log(similarity[i][i] / sum(similarity[i])) for i in range(5)) / 5
    by_pictures = -sum(math.log(similarity[i][i] / sum(row[i] for row in similarity)) for i in range(5)) / 5
    loss = contrastive_loss(audio, visual, audio, visual, torch.tensor(tau))
    assert loss.item() == pytest.approx((by_sound + by_pictures) / 2, rel=1e-4)


@pytest.mark.parametrize("chunk_size", [1, 4])
def test_chunks_change_neither_loss_nor_gradient(chunk_size: int) -> None:
    whole = _gradients(_objective(time_waves=3), _batch())
    for name, gradient in _gradients(_objective(time_waves=3, chunk_size=chunk_size), _batch()).items():
        torch.testing.assert_close(gradient, whole[name], rtol=1e-4, atol=1e-6)
        assert gradient.abs().sum() > 0 or name.endswith("qkv.bias")


def test_chunks_keep_no_activations() -> None:
    kept: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    def num_kept(objective: ContrastiveAdaptation) -> int:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            objective(_batch(), generator=torch.Generator())
        return sum(kept)

    assert num_kept(_objective(chunk_size=2)) < num_kept(_objective()) / 10


def test_temperature_starts_as_told_is_learnt_and_stays_above_its_minimum() -> None:
    objective = _objective(temperature=0.07)
    assert objective.temperature == pytest.approx(0.07)
    assert _gradients(objective, _batch())["log_temperature"] != 0
    with torch.no_grad():
        objective.log_temperature.fill_(-20.0)
    objective(_batch(), generator=torch.Generator())
    assert objective.temperature == pytest.approx(0.01)
    with pytest.raises(ValueError, match="at least minimum_temperature"):
        ContrastiveOptions(temperature=0.001)


def test_padding_does_not_change_an_embedding() -> None:
    objective = _objective().eval()
    batch = _batch()
    audio, visual = objective.embed(batch)
    audio_alone, _ = mean_pool(*objective.model(codes=batch.streams["codes"][2:3, :, :12])), None
    torch.testing.assert_close(audio[2], F.normalize(audio_alone, dim=1)[0])
    visual_alone = mean_pool(*objective.model(visual=batch.streams["clip"][2:3, :2]))
    torch.testing.assert_close(visual[2], F.normalize(visual_alone, dim=1)[0])
    torch.testing.assert_close(audio.norm(dim=1), torch.ones(6))


def test_a_few_steps_bring_the_halves_of_clips_together() -> None:
    objective = _objective()
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    before = objective.evaluate(_batch(), generator=torch.Generator())
    for _ in range(30):
        optimizer.zero_grad()
        objective(_batch(), generator=torch.Generator())["loss"].backward()
        optimizer.step()
    after = objective.evaluate(_batch(), generator=torch.Generator())
    assert after["loss"] < before["loss"] / 4
    assert after["recall_1/audio_to_visual"] == after["recall_1/visual_to_audio"] == 1


def _one_process(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    gradients = _gradients(_objective(), _batch(slice(3 * rank, 3 * rank + 3)))
    for gradient in gradients.values():
        torch.distributed.all_reduce(gradient)  # what DistributedDataParallel does: the mean over processes
        gradient /= 2
    torch.save(gradients, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradient_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_process, (str(tmp_path),), nprocs=2)
    whole = _gradients(_objective(), _batch())
    for rank in range(2):
        for name, gradient in torch.load(tmp_path / f"{rank}.pt", weights_only=True).items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-4, atol=1e-6)


def test_an_encoder_is_the_first_layers_of_its_model(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.safetensors")
    model, card = load_model(path)
    assert isinstance(model, VAB)
    encoder, _ = load_encoder_of(path)
    batch = _batch()
    features, is_valid = encoder(
        batch.streams["codes"], batch.streams["clip"], is_valid=batch.is_valid["codes"]
    )
    assert torch.equal(
        features,
        model.encode(batch.streams["codes"], batch.streams["clip"], is_valid=batch.is_valid["codes"]),
    )
    assert (
        is_valid.sum()
        == batch.is_valid["codes"].sum() + batch.streams["clip"].shape[0] * batch.streams["clip"].shape[1]
    )
    assert len(encoder.blocks) == model.config.num_encoder_layers < len(model.blocks)

    save_encoder(tmp_path / "encoder.safetensors", encoder, card)
    again, card_again = load_encoder_of(tmp_path / "encoder.safetensors")
    assert card_again.type == "vab-encoder"
    assert torch.equal(again(batch.streams["codes"])[0], encoder(batch.streams["codes"])[0])
    assert all(parameter.requires_grad for parameter in again.parameters())
    size = (tmp_path / "encoder.safetensors").stat().st_size
    assert size < path.stat().st_size
    assert encoder_of(torch.nn.Linear(1, 1)) is None


def test_what_holds_no_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path / "tiny.safetensors")
    monkeypatch.setattr("vab.models.vab.encoder.encoder_of", lambda model: None)
    with pytest.raises(WeightsError, match="give the weights of a 'vab'"):
        load_encoder_of(path)


def test_timed_pooling_is_a_mean_weighted_by_waves() -> None:
    torch.manual_seed(0)
    pool = TimedPool(width=2, num_waves=2)
    features, times = torch.randn(1, 3, 2), torch.tensor([0.1, 2.0, 7.0])
    strengths = pool.strengths.detach()
    expected = torch.zeros(2)
    for position, seconds in enumerate(times.tolist()):
        angles = [2 * math.pi * wave * seconds / WAVE_SECONDS for wave in (1, 2)]
        waves = [1.0, *map(math.cos, angles), *map(math.sin, angles)]
        weight = sum(wave * strength for wave, strength in zip(waves, strengths, strict=True))
        expected += features[0, position] * weight / 3
    torch.testing.assert_close(pool(features, torch.ones(1, 3, dtype=torch.bool), times)[0], expected)


def test_only_a_timed_embedding_tells_when() -> None:
    """Two clips of the same frames in another order: to a mean over far positions they are one."""
    torch.manual_seed(0)
    config = tiny_config()
    plain = VABEncoder(config).requires_grad_(False)
    timed = plain.with_time_waves(8)
    assert timed is timed.with_time_waves(8)
    frames = torch.randn(1, 12, config.visual_dim)
    torch.testing.assert_close(plain.encode(visual=frames), timed.encode(visual=frames))
    valid = torch.ones(1, 12, dtype=torch.bool)
    features, times = torch.randn(1, 12, config.width), torch.arange(12) / config.visual_fps
    later = features.roll(5, dims=1)
    torch.testing.assert_close(plain._pool(features, valid, times), plain._pool(later, valid, times))
    own, other = timed._pool(features, valid, times), timed._pool(later, valid, times)
    assert (own - other).norm() > 0.5 * own.norm()
    short = timed.embed(visual=frames[:, :6])
    padded = timed.embed(visual=frames, is_valid_visual=torch.arange(12)[None] < 6)
    torch.testing.assert_close(short, padded)
    assert short.norm().item() == pytest.approx(1, rel=1e-5)


def test_a_timed_encoder_is_saved_and_becomes_a_plain_one_again(tmp_path: Path) -> None:
    _, card = load_encoder_of(write_tiny_model(tmp_path / "vab.safetensors"))
    timed = VABEncoder(tiny_config()).with_time_waves(4)
    save_encoder(tmp_path / "encoder.safetensors", timed, card)
    again, _ = load_encoder_of(tmp_path / "encoder.safetensors")
    frames = torch.randn(1, 6, tiny_config().visual_dim)
    torch.testing.assert_close(again.embed(visual=frames), timed.embed(visual=frames))
    plain = again.with_time_waves(0)
    assert plain.timed_pool is None
    torch.testing.assert_close(plain.encode(visual=frames), timed.encode(visual=frames))
