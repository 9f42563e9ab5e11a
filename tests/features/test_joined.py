from pathlib import Path

import pytest
import torch
from feature_fakes import fake_info, make_store

from vab.features.dataset import FeatureDataset
from vab.features.joined import JoinedDataset
from vab.features.store import FeatureStore


def parts(tmp_path: Path, **options: float) -> list[FeatureDataset]:
    """Three clips at 1 frame a second, and four at 5, used at 1; clips of the second have ids of their own."""
    stores = [
        FeatureStore(make_store(tmp_path / f"{fps}", fake_info(visual_fps=fps), [10.0] * count))
        for fps, count in ((1.0, 3), (5.0, 4))
    ]
    return [
        FeatureDataset(store, streams={"codes": None, "clip": 1.0}, is_training=True, **options)
        for store in stores
    ]  # type: ignore[arg-type]


def test_items_come_from_their_own_store_in_the_order_asked_for(tmp_path: Path) -> None:
    one, five = parts(tmp_path)
    joined = JoinedDataset([one, five])
    assert len(joined) == 7
    batch = joined.__getitems__([(6, 60), (0, 0), (3, 30), (2, 20)])
    assert batch.ids == ("clip-3", "clip-0", "clip-0", "clip-2")
    assert batch.streams["codes"][:, 1, 0].tolist() == [3, 0, 0, 2]
    assert torch.equal(batch.streams["clip"][0], five[(3, 60)].streams["clip"][0])
    assert torch.equal(batch.streams["clip"][1], one[(0, 0)].streams["clip"][0])
    assert joined[(4, 1)].ids == ("clip-1",)


def test_clips_of_different_stores_are_mixed(tmp_path: Path) -> None:
    joined = JoinedDataset(parts(tmp_path, mixup_prob=1.0))
    batch = joined.__getitems__([(0, 0), (5, 1)])
    assert batch.partner is not None and batch.partner.tolist() == [1, 0]
    assert set(batch.streams["codes"][0, 1].tolist()) == {0, 2}
    again = joined.__getitems__([(0, 0), (5, 1)])
    assert torch.equal(batch.streams["codes"], again.streams["codes"]) and torch.equal(
        batch.streams["clip"], again.streams["clip"]
    )


def test_parts_that_differ_are_refused(tmp_path: Path) -> None:
    one, five = parts(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be joined: clip rate 1.0 and 5.0"):
        JoinedDataset([one, FeatureDataset(five.store, is_training=True)])
    with pytest.raises(ValueError, match=r"mixup_prob 0.0 and 0.5"):
        JoinedDataset(
            [
                one,
                FeatureDataset(
                    five.store, streams={"codes": None, "clip": 1.0}, mixup_prob=0.5, is_training=True
                ),
            ]
        )
    with pytest.raises(ValueError, match="nothing to join"):
        JoinedDataset([])
