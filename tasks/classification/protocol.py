"""Which clips are learnt from and which are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.classification.options import DataOptions
from vab.errors import StoreError
from vab.features.store import FeatureStore


@dataclass(frozen=True)
class Fold:
    """One training and its test; indices into the store."""

    name: str
    """The split that is tested on; empty where there are no folds."""
    train: list[int]
    test: list[int]


def plan_folds(store: FeatureStore, data: DataOptions, *, streams: Sequence[str]) -> list[Fold]:
    """The official folds in turn, or one training and one test set.

    Args:
        store: the clips.
        data: names of splits.
        streams: what a clip must have to be used.

    Raises:
        StoreError: a split without such clips.
    """
    clips_of = {
        split: store.select(split=split, streams=streams)
        for split in data.folds or [*data.train_splits, *data.test_splits]
    }
    for split, clips in clips_of.items():
        if not clips:
            raise StoreError(
                f"{store.path}: no clips with what is needed ({' and '.join(streams)}) in split {split!r}; "
                f"it has: {', '.join(name or 'a split without a name' for name in store.splits)}"
            )

    def of(splits: Sequence[str]) -> list[int]:
        return sorted({clip for split in splits for clip in clips_of[split]})

    if not data.folds:
        return [Fold("", of(data.train_splits), of(data.test_splits))]
    return [
        Fold(held_out, of([name for name in data.folds if name != held_out]), clips_of[held_out])
        for held_out in data.folds
    ]
