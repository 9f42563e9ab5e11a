"""Which clips of several stores are learnt from and which are measured on, told by names of splits."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vab.errors import StoreError
from vab.features.store import FeatureStore

logger = logging.getLogger(__name__)

VALIDATION_SHARE = 0.05
"""Of the clips to learn from, what is measured on instead where a store has no validation split."""
TRAIN_OPTION, VALIDATION_OPTION = "--data.train_splits", "--data.validation_splits"


@dataclass(frozen=True)
class ChosenClips:
    """Of one store, ascending indices."""

    train: list[int]
    validation: list[int]


def choose_clips(
    stores: Sequence[FeatureStore],
    train_splits: str,
    validation_splits: str,
    *,
    streams: Collection[str],
) -> list[ChosenClips]:
    """Clips of each store, those with all ``streams``.

    Args:
        stores: opened stores.
        train_splits: names between spaces: such as ``train`` for every store, and ``STORE=NAME,NAME`` for single
            ones, such as ``audioset=unbalanced_train,balanced_train``; STORE is the name of the folder. A store whose
            clips have no splits is learnt from whole.
        validation_splits: the same. Where none is named, the split ``validation``, or in a store without it a share
            of the training clips, chosen by their ids, which are then not learnt from.
        streams: what a clip must have.

    Raises:
        StoreError: a store contributes nothing, or a name is of no store.
    """
    train = _by_store(stores, train_splits, TRAIN_OPTION)
    validation = _by_store(stores, validation_splits, VALIDATION_OPTION)
    return [
        _choose(store, *names, streams=streams)
        for store, *names in zip(stores, train, validation, strict=True)
    ]


def clips_of_split(
    store: FeatureStore, splits: Collection[str], *, option: str, streams: Collection[str] | None = None
) -> list[int]:
    """Clips of some splits, or all of a store whose clips have no splits, which is logged.

    Args:
        store: the store.
        splits: names.
        option: how they are given, for the message.
        streams: what a clip must have; None = all that the store was made with.

    Raises:
        StoreError: there are none, or a split is not there.
    """
    if store.splits == ("",):
        logger.warning("%s: its clips have no splits: all of them are used (%s)", store.path, option)
        splits = [""]
    for name in splits:
        if not store.select(split=name, streams=streams):
            raise StoreError(
                f"{store.path}: no clips in split {name!r} with {', '.join(streams or store.info.streams)}; "
                f"it has: {', '.join(each or 'clips without a split' for each in store.splits) or 'no clips'}; "
                f"choose with {option}"
            )
    return store.select(split=splits, streams=streams)


def _choose(
    store: FeatureStore, train: Sequence[str], validation: Sequence[str], *, streams: Collection[str]
) -> ChosenClips:
    clips = clips_of_split(store, train, option=TRAIN_OPTION, streams=streams)
    if validation or "validation" in store.splits:
        names = validation or ["validation"]
        measured = clips_of_split(store, names, option=VALIDATION_OPTION, streams=streams)
    else:
        measured = held_out(store, clips)
        logger.info("%s: %d of its training clips are measured on instead", store.path, len(measured))
    is_measured = set(measured)
    remaining = [clip for clip in clips if clip not in is_measured]
    if not remaining:
        raise StoreError(
            f"{store.path}: no clips left to learn from besides those of {VALIDATION_OPTION}; extract more"
        )
    return ChosenClips(remaining, measured)


def held_out(store: FeatureStore, clips: Sequence[int]) -> list[int]:
    """One in twenty clips, at least one, to measure on, chosen by their ids.

    Their ids hash below the share: more clips in the store do not move any to the other side.
    """
    place = {
        clip: int.from_bytes(hashlib.sha256(store.clips.ids[clip].encode()).digest()[:8], "big") / 2**64
        for clip in clips
    }
    return [clip for clip in clips if place[clip] < VALIDATION_SHARE] or [min(clips, key=place.__getitem__)]


def _by_store(stores: Sequence[FeatureStore], splits: str, option: str) -> list[list[str]]:
    """The names that hold for each store."""
    folders = [store.path.resolve().name for store in stores]
    shared = [entry for entry in splits.split() if "=" not in entry]
    single = dict(entry.split("=", 1) for entry in splits.split() if "=" in entry)
    if unknown := sorted(single.keys() - set(folders)):
        raise StoreError(f"{option} {unknown[0]}=: no such store among {', '.join(folders)}")
    return [single[folder].split(",") if folder in single else shared for folder in folders]
