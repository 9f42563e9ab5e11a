import pytest
import torch
from feature_fakes import fake_info, ramp_batch

from vab.features.augment import mix, roll, temporal_mixup, temporal_roll
from vab.features.batch import FeatureBatch

INFO = fake_info(visual_fps=8.0)
GRID = INFO.grid


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_aligned(batch: FeatureBatch) -> None:
    """Codes and visual features of one moment come from the same clip and the same moment, in real parts."""
    for b in range(len(batch)):
        steps = min(int(batch.is_valid["codes"][b].sum()), int(batch.is_valid["clip"][b].sum() * 50 / 8))
        for step in range(steps):
            frame = step * 8 // 50
            assert batch.streams["codes"][b, 0, step] * 8 // 50 == batch.streams["clip"][b, frame, 0]
            assert batch.streams["codes"][b, 1, step] == batch.streams["clip"][b, frame, 1]


@pytest.mark.parametrize("augmentation", [temporal_mixup, temporal_roll])
def test_probability_zero_changes_nothing_and_one_changes_everything(augmentation) -> None:  # type: ignore[no-untyped-def]
    batch = ramp_batch(INFO, [10.0] * 6)
    assert augmentation(batch, GRID, prob=0.0, generator=generator()) is batch
    changed = augmentation(batch, GRID, prob=1.0, generator=generator())
    for b in range(len(batch)):
        assert not torch.equal(changed.streams["codes"][b], batch.streams["codes"][b])
        assert not torch.equal(changed.streams["clip"][b], batch.streams["clip"][b])
    many = ramp_batch(INFO, [10.0] * 40)
    some = augmentation(many, GRID, prob=0.5, generator=generator())
    assert 10 < sum(not torch.equal(some.streams["clip"][b], many.streams["clip"][b]) for b in range(40)) < 30


@pytest.mark.parametrize("augmentation", [temporal_mixup, temporal_roll])
def test_alignment_survives_and_the_generator_decides(augmentation) -> None:  # type: ignore[no-untyped-def]
    for seed in range(5):
        batch = ramp_batch(INFO, [10.0, 3.2, 10.0, 7.9, 5.0])
        first = augmentation(batch, GRID, prob=1.0, generator=generator(seed))
        assert_aligned(first)
        again = augmentation(batch, GRID, prob=1.0, generator=generator(seed))
        assert torch.equal(first.streams["codes"], again.streams["codes"])
        assert torch.equal(first.streams["clip"], again.streams["clip"])
    other = augmentation(batch, GRID, prob=1.0, generator=generator(99))
    assert not torch.equal(first.streams["codes"], other.streams["codes"])


def test_mix_cuts_both_modalities_at_one_time_and_keeps_shares() -> None:
    batch = ramp_batch(INFO, [10.0, 10.0, 6.0])
    mixed = mix(batch, GRID, torch.tensor([1, 2, 0]), [8, 4, 0])
    assert mixed.streams["codes"][0, 1].tolist() == [0] * 200 + [1] * 300
    assert mixed.streams["clip"][0, :, 1].tolist() == [0] * 32 + [1] * 48
    assert mixed.streams["codes"][0, 0].tolist() == list(range(500)), "each part keeps its own time"
    assert mixed.streams["codes"][1, 1].tolist() == [1] * 100 + [2] * 400
    assert mixed.is_valid["codes"][1].sum() == 300, "the second part brings its own padding"
    assert mixed.is_valid["clip"][1].sum() == 48
    assert torch.equal(mixed.streams["codes"][2], batch.streams["codes"][2])
    assert mixed.mix is not None and mixed.partner is not None
    assert mixed.mix.tolist() == pytest.approx([0.4, 1 / 3, 1.0])
    assert mixed.partner.tolist() == [1, 2, 2]
    assert mixed.labels == batch.labels


def test_mixup_uses_both_clips_real_parts() -> None:
    for seed in range(20):
        batch = ramp_batch(INFO, [10.0, 2.0])
        mixed = temporal_mixup(batch, GRID, prob=1.0, generator=generator(seed))
        assert mixed.mix is not None
        assert 0 < mixed.mix[0] < 1 and 0 < mixed.mix[1] < 1
        assert mixed.is_valid["codes"][0].sum() == 100, "the first ends where its partner ends"
        assert mixed.is_valid["codes"][1].sum() == 500
        for valid in (mixed.is_valid["codes"], mixed.is_valid["clip"]):
            assert (valid[:, 1:] <= valid[:, :-1]).all(), "no padding in the middle"


def test_mixup_leaves_alone_what_it_cannot_mix() -> None:
    assert_same = ramp_batch(INFO, [10.0])
    assert temporal_mixup(assert_same, GRID, prob=1.0, generator=generator()) is assert_same
    too_short = ramp_batch(INFO, [0.4, 10.0])
    assert temporal_mixup(too_short, GRID, prob=1.0, generator=generator()) is too_short
    batch = ramp_batch(INFO, [10.0, 10.0])
    batch.is_valid["codes"][0] = False
    assert temporal_mixup(batch, GRID, prob=1.0, generator=generator()) is batch, "one has no sound"


def test_clips_without_sound_mix_and_roll_by_their_frames() -> None:
    batch = ramp_batch(INFO, [10.0, 10.0])
    batch.is_valid["codes"][:] = False
    mixed = temporal_mixup(batch, GRID, prob=1.0, generator=generator())
    assert mixed.mix is not None
    assert ((mixed.mix > 0) & (mixed.mix < 1)).all()
    assert not torch.equal(
        temporal_roll(batch, GRID, prob=1.0, generator=generator()).streams["clip"], batch.streams["clip"]
    )


def test_rolling_back_undoes_rolling() -> None:
    batch = ramp_batch(INFO, [10.0, 3.2, 10.0])
    rolled = roll(batch, GRID, [7, 3, 0])
    assert rolled.streams["codes"][0, 0, 175] == 0 and rolled.streams["clip"][0, 28, 0] == 0
    assert rolled.streams["codes"][1, 0, :150].tolist() == [*range(75, 150), *range(75)], (
        "turns inside its real part"
    )
    assert torch.equal(rolled.streams["codes"][1, 0, 150:], batch.streams["codes"][1, 0, 150:])
    back = roll(rolled, GRID, [-7, -3, 0])
    assert torch.equal(back.streams["codes"], batch.streams["codes"])
    assert torch.equal(back.streams["clip"], batch.streams["clip"])


def test_rolling_back_undoes_rolling_where_steps_are_rounded() -> None:
    info = fake_info(visual_fps=7.0)
    grid = type(GRID).of({"codes": 44_100 / 512, "clip": 7.0})
    batch = ramp_batch(info, [10.0])
    for shift in range(1, 40):
        rolled = roll(batch, grid, [shift])
        assert not torch.equal(rolled.streams["codes"], batch.streams["codes"])
        assert torch.equal(roll(rolled, grid, [-shift]).streams["codes"], batch.streams["codes"])
