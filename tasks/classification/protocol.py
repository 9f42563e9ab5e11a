"""Which clips are learnt from and which are measured on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.classification.options import DataOptions
from vab.errors import StoreError
from vab.features.splits import held_out
from vab.features.store import FeatureStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """One training and its test; indices into the store."""

    name: str
    """The split that is tested on; empty where there are no folds."""
    train: list[int]
    test: list[int]


def plan_folds(store: FeatureStore, data: DataOptions, *, streams: Sequence[str]) -> list[Fold]:
    """The official folds in turn, or one training and one test set.

    A store whose clips have no splits is learnt from, but for one clip in twenty, on which it is measured. A clip must
    have all ``streams``.

    Raises:
        StoreError: a split without such clips.
    """
    if store.splits == ("",) and not data.folds:
        clips = store.select(streams=streams)
        if len(clips) < 2:
            what = " and ".join(streams)
            raise StoreError(
                f"{store.path}: {len(clips)} clips with {what} to learn from and to measure on; extract more"
            )
        test = held_out(store, clips)
        logger.warning(
            "%s: its clips have no splits: measured on %d of its %d clips (--data.train_splits, --data.test_splits)",
            store.path,
            len(test),
            len(clips),
        )
        return [Fold("", sorted(set(clips) - set(test)), test)]
    clips_of = {
        split: store.select(split=split, streams=streams)
        for split in data.folds or [*data.train_splits, *data.test_splits]
    }
    for split, clips in clips_of.items():
        if not clips:
            found = ", ".join(name or "clips without a split" for name in store.splits) or "no clips"
            options = "--data.folds" if data.folds else "--data.train_splits and --data.test_splits"
            raise StoreError(
                f"{store.path}: no clips with what is needed ({' and '.join(streams)}) in split {split!r}; "
                f"it has: {found}; choose with {options}"
            )

    def of(splits: Sequence[str]) -> list[int]:
        return sorted({clip for split in splits for clip in clips_of[split]})

    if not data.folds:
        return [Fold("", of(data.train_splits), of(data.test_splits))]
    return [
        Fold(held_out, of([name for name in data.folds if name != held_out]), clips_of[held_out])
        for held_out in data.folds
    ]
