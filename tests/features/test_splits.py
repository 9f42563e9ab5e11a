from pathlib import Path
from typing import Any

import pytest
from feature_fakes import fake_clips, fake_info, ramp_arrays

from vab.errors import StoreError
from vab.features.joined import JoinedDataset
from vab.features.manifest import Clip
from vab.features.splits import VALIDATION_SHARE, choose_clips, clips_of_split
from vab.features.store import FeatureStore
from vab.features.writer import StoreWriter

INFO = fake_info(clip_seconds=1.0)
BOTH = {"codes": None, "clip": None}


def store_of(path: Path, **splits: int) -> FeatureStore:
    """So many clips of each split; ``none`` are clips without one."""
    clips = [
        Clip(id=f"{split}-{n}", path=Path(f"{n}.mp4"), split="" if split == "none" else split)
        for split, count in splits.items()
        for n in range(count)
    ]
    with StoreWriter(path, INFO) as writer:
        writer.plan(clips, shard_size=1000, group_size=1000)
        for group in writer.pending():
            writer.write(group, ramp_arrays(INFO, [1.0] * len(group.clips)), {})
    return FeatureStore(path)


def ids(store: FeatureStore, clips: list[int]) -> list[str]:
    return [store.clips.ids[clip] for clip in clips]


def test_each_store_has_its_own_splits_and_a_validation_part_is_cut(tmp_path: Path) -> None:
    vggsound = store_of(tmp_path / "vggsound", train=60, test=5)
    audioset = store_of(tmp_path / "audioset", unbalanced_train=200, balanced_train=40, eval=7)
    chosen = choose_clips(
        [vggsound, audioset],
        "vggsound=train audioset=unbalanced_train,balanced_train",
        "",
        streams=BOTH,
    )
    for store, clips, total in ((vggsound, chosen[0], 60), (audioset, chosen[1], 240)):
        assert len(clips.train) + len(clips.validation) == total
        assert not set(clips.train) & set(clips.validation)
        assert 0 < len(clips.validation) < 3 * VALIDATION_SHARE * total
        assert not any(
            name.startswith(("test", "eval")) for name in ids(store, clips.train + clips.validation)
        )
    joined = JoinedDataset.of_splits(
        [vggsound, audioset],
        "train audioset=unbalanced_train,balanced_train",
        "vggsound=test",
        is_training=True,
        streams=BOTH,
    )
    assert joined.describe() == f"60 clips of vggsound, {len(chosen[1].train)} clips of audioset"


def test_the_cut_depends_on_ids_alone(tmp_path: Path) -> None:
    few, many = store_of(tmp_path / "few", none=50), store_of(tmp_path / "many", none=150)
    [of_few], [of_many] = (choose_clips([store], "train", "", streams=BOTH) for store in (few, many))
    assert set(ids(few, of_few.validation)) <= set(ids(many, of_many.validation))
    [tiny] = choose_clips([store_of(tmp_path / "tiny", train=2)], "train", "", streams=BOTH)
    assert len(tiny.train) == len(tiny.validation) == 1


def test_clips_without_a_split_are_all_used_and_the_option_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(tmp_path / "store", none=30)
    [chosen] = choose_clips([store], "train", "", streams=BOTH)
    assert sorted(chosen.train + chosen.validation) == list(range(30))
    assert "its clips have no splits: all of them are used (--data.train_splits)" in caplog.text
    assert clips_of_split(store, ["test"], option="--split") == list(range(30))
    mixed = store_of(tmp_path / "mixed", none=3, train=4)
    assert len(clips_of_split(mixed, ["train"], option="--split")) == 4
    assert ids(mixed, clips_of_split(mixed, [""], option="--split")) == ["none-0", "none-1", "none-2"]


def test_a_validation_split_is_used_where_there_is_one(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", train=40, validation=3, dev=2)
    [chosen] = choose_clips([store], "train", "", streams=BOTH)
    assert len(chosen.train) == 40 and ids(store, chosen.validation) == [f"validation-{n}" for n in range(3)]
    [chosen] = choose_clips([store], "train", "dev", streams=BOTH)
    assert ids(store, chosen.validation) == ["dev-0", "dev-1"]
    [chosen] = choose_clips([store], "train dev", "dev", streams=BOTH)
    assert len(chosen.train) == 40, "what is measured on is not learnt from"


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (
            "train",
            "",
            r"two: no clips in split 'train' with codes, clip; it has: other; .*--data.train_splits",
        ),
        ("one=train two=other,odd", "", r"two: no clips in split 'odd'"),
        ("one=train two=other", "test", r"one: no clips in split 'test' .*--data.validation_splits"),
        ("one=train three=other", "", r"--data.train_splits three=: no such store among one, two"),
        ("one=train two=other", "one=train", r"one: no clips left to learn from"),
    ],
)
def test_a_store_that_contributes_nothing_is_an_error(
    tmp_path: Path, train: str, validation: str, message: str
) -> None:
    stores = [store_of(tmp_path / "one", train=4), store_of(tmp_path / "two", other=4)]
    with pytest.raises(StoreError, match=message):
        choose_clips(stores, train, validation, streams=BOTH)


def test_only_clips_with_the_streams_count(tmp_path: Path) -> None:
    clips = fake_clips("full-1", "full-2")
    with StoreWriter(tmp_path / "store", INFO) as writer:
        writer.plan(clips, shard_size=10, group_size=10)
        for group in writer.pending():
            arrays = ramp_arrays(INFO, [1.0, 1.0])
            arrays.num_steps["clip"][:] = 0
            writer.write(group, arrays, {})
    store = FeatureStore(tmp_path / "store")
    assert clips_of_split(store, ["train"], option="--split", streams=["codes"]) == [0, 1]
    with pytest.raises(StoreError, match="no clips in split 'train' with codes, clip"):
        clips_of_split(store, ["train"], option="--split", streams=BOTH)
    settings: dict[str, Any] = {"is_training": True, "streams": {"codes": None, "clip": None}}
    with pytest.raises(StoreError, match="no clips in split 'train' with codes, clip"):
        JoinedDataset.of_splits([store], "train", "", **settings)
    joined = JoinedDataset.of_splits([store], "train", "", required_streams=["codes"], **settings)
    audio = joined[(0, 0)]
    assert audio.has("codes").all() and not audio.has("clip").any()
