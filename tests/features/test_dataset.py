from itertools import islice
from pathlib import Path

import pytest
import torch
from feature_fakes import fake_info, make_store
from torch.utils.data import DataLoader

from vab.features.batch import FeatureBatch
from vab.features.dataset import FeatureDataset, keep_batch
from vab.features.joined import JoinedDataset
from vab.features.sampler import StepSampler
from vab.features.store import FeatureStore


def store_of(tmp_path: Path, seconds: list[float], visual_fps: float = 8.0) -> FeatureStore:
    return FeatureStore(make_store(tmp_path / "store", fake_info(visual_fps=visual_fps), seconds))


def equal(one: FeatureBatch, other: FeatureBatch) -> bool:
    return one.ids == other.ids and all(
        torch.equal(one.streams[name], other.streams[name])
        and torch.equal(one.is_valid[name], other.is_valid[name])
        for name in one.streams
    )


def test_five_frames_a_second_become_one(tmp_path: Path) -> None:
    store = store_of(tmp_path, [10.0] * 4, visual_fps=5.0)
    evaluation = FeatureDataset(store, streams={"codes": None, "clip": 1.0})
    assert evaluation[(0, 0)].streams["clip"][0, :, 0].tolist() == [5 * second + 2 for second in range(10)]
    training = FeatureDataset(store, streams={"codes": None, "clip": 1.0}, is_training=True)
    drawn = training.__getitems__([(i % 4, i) for i in range(200)]).streams["clip"][:, :, 0]
    assert (drawn // 5 == torch.arange(10)).all(), "each from its own second"
    shares = torch.bincount((drawn % 5).long().flatten(), minlength=5) / drawn.numel()
    assert ((shares > 0.17) & (shares < 0.23)).all(), shares
    assert training.num_steps == {"codes": 500, "clip": 10}


def test_a_last_second_cut_short_gives_only_real_frames(tmp_path: Path) -> None:
    training = FeatureDataset(
        store_of(tmp_path, [4.4], visual_fps=5.0), streams={"codes": None, "clip": 1.0}, is_training=True
    )
    batch = training.__getitems__([(0, seed) for seed in range(50)])
    assert batch.is_valid["clip"].sum(1).tolist() == [5] * 50
    assert set(batch.streams["clip"][:, 4, 0].tolist()) == {20.0, 21.0}
    middle = FeatureDataset(training.store, streams={"codes": None, "clip": 1.0})[(0, 0)]
    assert middle.streams["clip"][0, :5, 0].tolist() == [2.0, 7.0, 12.0, 17.0, 21.0]


def test_crops_begin_on_the_grid_inside_the_real_part(tmp_path: Path) -> None:
    store = store_of(tmp_path, [10.0, 4.7, 1.0])
    training = FeatureDataset(store, crop_seconds=2.5, is_training=True)
    assert training.num_steps == {"codes": 125, "clip": 20} and training.seconds == 2.5
    for clip, starts in ((0, set(range(0, 400, 25))), (1, {0, 25, 50, 75, 100}), (2, {0})):
        batch = training.__getitems__([(clip, seed) for seed in range(300)])
        assert batch.streams["codes"].shape == (300, 2, 125) and batch.streams["clip"].shape == (300, 20, 3)
        first_steps, first_frames = batch.streams["codes"][:, 0, 0], batch.streams["clip"][:, 0, 0]
        assert set(first_steps.tolist()) == starts
        assert (first_steps / 50 == first_frames / 8).all()
    assert batch.is_valid["codes"].sum(1).tolist() == [50] * 300
    assert batch.is_valid["clip"].sum(1).tolist() == [8] * 300


def test_evaluation_ignores_seeds_and_takes_the_first_crop(tmp_path: Path) -> None:
    store = store_of(tmp_path, [10.0] * 3)
    evaluation = FeatureDataset(store, [2, 0], crop_seconds=5.0, mixup_prob=1.0, roll_prob=1.0)
    batch = evaluation.__getitems__([(0, 1), (1, 2)])
    assert batch.ids == ("clip-2", "clip-0")
    assert batch.streams["codes"][:, 0, 0].tolist() == [0, 0]
    assert equal(batch, evaluation.__getitems__([(0, 8), (1, 9)]))
    assert len(evaluation) == 2


def test_training_is_a_function_of_items_and_seeds(tmp_path: Path) -> None:
    store = store_of(tmp_path, [10.0, 8.0, 10.0, 9.0])
    training = FeatureDataset(
        store,
        crop_seconds=5.0,
        streams={"codes": None, "clip": 4.0},
        mixup_prob=0.5,
        roll_prob=0.5,
        is_training=True,
    )
    items = [(0, 11), (3, 12), (1, 13), (2, 14)]
    batch = training.__getitems__(items)
    training.__getitems__([(2, 5)])
    assert equal(batch, training.__getitems__(items))
    assert not equal(batch, training.__getitems__([(index, seed + 1) for index, seed in items]))


@pytest.mark.parametrize("option", ["mixup_prob", "roll_prob"])
def test_augmentations_change_training_alone(tmp_path: Path, option: str) -> None:
    store = store_of(tmp_path, [10.0] * 4)
    items = [(i, i) for i in range(4)]
    plain = FeatureDataset(store, is_training=True).__getitems__(items)
    assert equal(plain, FeatureDataset(store).__getitems__(items)), "without crop and draw nothing is random"
    assert not equal(plain, FeatureDataset(store, is_training=True, **{option: 1.0}).__getitems__(items))
    assert equal(plain, FeatureDataset(store, is_training=False, **{option: 1.0}).__getitems__(items))


def test_fewer_codebooks(tmp_path: Path) -> None:
    store = store_of(tmp_path, [10.0])
    assert FeatureDataset(store, num_codebooks=1)[(0, 0)].streams["codes"].shape == (1, 1, 500)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_resume_exactly(tmp_path: Path, num_workers: int) -> None:
    training = FeatureDataset(
        store_of(tmp_path, [10.0] * 7), crop_seconds=2.0, mixup_prob=0.5, roll_prob=0.5, is_training=True
    )

    def batches(start: int, count: int) -> list[FeatureBatch]:
        sampler = StepSampler(len(training), 3, seed=1, start_batch=start)
        loader = DataLoader(training, batch_sampler=sampler, collate_fn=keep_batch, num_workers=num_workers)
        return list(islice(loader, count))

    whole, rest = batches(0, 6), batches(4, 2)
    assert all(equal(one, other) for one, other in zip(whole[4:], rest, strict=True))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, [10.0])
    for options, message in (
        ({"streams": {"clip": 3.0}}, "do not divide"),
        ({"streams": {"clip": 16.0}}, "do not divide"),
        ({"streams": {"codes": 25.0}}, "codes has 50 steps a second, not 25"),
        ({"crop_seconds": 2.3}, "multiple of 0.5 s"),
        ({"crop_seconds": 11.0}, "exceeds"),
        ({"num_codebooks": 3}, "1 to 2"),
        ({"mixup_prob": 1.5}, r"\[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            FeatureDataset(store, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "num_shifts"), [(1.0, 49), (5.0, 249)])
def test_audio_alone_is_mixed_and_rolled_on_codec_steps(
    tmp_path: Path, seconds: float, num_shifts: int
) -> None:
    """Speech Commands (1 s) and ESC-50 (5 s) at 1 frame a second had no and four places to be cut at."""
    store = FeatureStore(
        make_store(tmp_path / "store", fake_info(visual_fps=1.0, clip_seconds=seconds), [seconds] * 4)
    )
    store.clips.num_steps["clip"][:] = 0
    for streams in ({"codes": None}, {"codes": None, "clip": None}):
        training = FeatureDataset(store, streams=streams, roll_prob=1.0, is_training=True)
        assert float(training.grid.period) == 0.02
        first = [training[(0, seed)].streams["codes"][0, 0, 0].item() for seed in range(300)]
        assert 0 not in first and len(set(first)) > 0.6 * min(300, num_shifts)
        mixing = FeatureDataset(store, streams=streams, mixup_prob=1.0, is_training=True)
        batch = mixing.__getitems__([(n, n) for n in range(4)])
        assert batch.mix is not None and ((batch.mix > 0) & (batch.mix < 1)).all()


def test_a_joint_grid_counts_only_streams_that_some_part_has(tmp_path: Path) -> None:
    stores = [
        FeatureStore(make_store(tmp_path / name, fake_info(visual_fps=1.0), [10.0] * 3)) for name in "ab"
    ]
    stores[0].clips.num_steps["clip"][:] = 0
    parts = [FeatureDataset(store, roll_prob=1.0, is_training=True) for store in stores]
    assert [float(part.grid.period) for part in parts] == [0.02, 1.0]
    rolled = JoinedDataset(parts).__getitems__([(0, 1), (3, 2)]).streams["codes"][:, 0, 0]
    assert (rolled % 50 == 0).all() and (rolled > 0).all()
