"""Several stores as one dataset, such as AudioSet at 1 frame a second and VGGSound at 5 (appendix B.1)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.utils.data import Dataset

from vab.errors import StoreError
from vab.features.batch import FeatureBatch
from vab.features.dataset import FeatureDataset, Item
from vab.features.store import FeatureStore


class JoinedDataset(Dataset[FeatureBatch]):
    """Datasets laid end to end; a batch may draw on all of them, and clips of different ones are mixed.

    Args:
        parts: alike in everything but the store, the clips and how frames are drawn.

    Raises:
        ValueError: no parts, or parts that differ in what a batch of them would have to agree on.
    """

    def __init__(self, parts: Sequence[FeatureDataset]) -> None:
        if not parts:
            raise ValueError("nothing to join")
        for part in parts[1:]:
            if _shared(part) != _shared(parts[0]):
                differences = [
                    f"{name} {value} and {_shared(part)[name]}"
                    for name, value in _shared(parts[0]).items()
                    if value != _shared(part)[name]
                ]
                raise ValueError(
                    f"{parts[0].store.path} and {part.store.path} cannot be joined: {'; '.join(differences)}"
                )
        self.parts = list(parts)
        self._ends = list(accumulate(len(part) for part in parts))

    @classmethod
    def of_split(
        cls, stores: Sequence[FeatureStore], split: str, *, limit: int | None = None, **settings: Any
    ) -> JoinedDataset:
        """The clips of a split, with sound and pictures, of all stores that have any.

        Args:
            stores: opened stores.
            split: name of the split.
            limit: at most so many clips of each store, the first; None = all.
            settings: of every ``FeatureDataset``.

        Raises:
            StoreError: no store has such clips.
        """
        chosen = [(store, store.select(split=split)[:limit]) for store in stores]
        parts = [FeatureDataset(store, indices, **settings) for store, indices in chosen if indices]
        if not parts:
            splits = sorted({name for store in stores for name in store.splits})
            raise StoreError(
                f"{', '.join(str(store.path) for store in stores)}: no clips in split {split!r}; "
                f"there are: {', '.join(splits)}"
            )
        return cls(parts)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, item: Item) -> FeatureBatch:
        """A batch of one."""
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[Item]) -> FeatureBatch:
        """A batch; the data loader calls this when it is given a batch sampler."""
        places: dict[int, list[int]] = {}
        for place, (number, _) in enumerate(items):
            places.setdefault(bisect_right(self._ends, number), []).append(place)
        batches = []
        for which, chosen in places.items():
            first = self._ends[which - 1] if which else 0
            batches.append(self.parts[which].read([(items[i][0] - first, items[i][1]) for i in chosen]))
        order = torch.tensor([place for chosen in places.values() for place in chosen]).argsort()
        return self.parts[0].augment(_concatenated(batches, order), [seed for _, seed in items])


def _shared(part: FeatureDataset) -> dict[str, object]:
    """What must be equal."""
    info = part.store.info
    return {
        "codec": info.codec.fingerprint,
        "encoder": info.encoder.fingerprint,
        "levels": part.num_codebooks or info.codec.num_codebooks,
        "visual_fps": part.visual_fps,
        "seconds": part.seconds,
        "is_training": part.is_training,
        "mixup_prob": part.mixup_prob,
        "roll_prob": part.roll_prob,
    }


def _concatenated(batches: Sequence[FeatureBatch], order: torch.Tensor) -> FeatureBatch:
    """Unmixed batches as one, row ``i`` of it being row ``order[i]`` of them laid end to end."""
    ids = [name for batch in batches for name in batch.ids]
    labels = [names for batch in batches for names in batch.labels]
    return FeatureBatch(
        codes=torch.cat([batch.codes for batch in batches])[order],
        visual=torch.cat([batch.visual for batch in batches])[order],
        is_valid=torch.cat([batch.is_valid for batch in batches])[order],
        is_valid_visual=torch.cat([batch.is_valid_visual for batch in batches])[order],
        ids=tuple(ids[i] for i in order),
        labels=tuple(labels[i] for i in order),
    )
