"""Several stores as one dataset, such as AudioSet at 1 frame a second and VGGSound at 5 (appendix B.1)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.utils.data import Dataset

from vab.errors import StoreError
from vab.features.batch import FeatureBatch
from vab.features.dataset import FeatureDataset, Item
from vab.features.splits import choose_clips
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
            other = _shared(part)
            differences = [
                f"{name} {value} and {other.get(name)}"
                for name, value in _shared(parts[0]).items()
                if value != other.get(name)
            ]
            if differences:
                raise ValueError(
                    f"{parts[0].store.path} and {part.store.path} cannot be joined: {'; '.join(differences)}"
                )
        self.parts = list(parts)
        self._grid = parts[0].grid_of({name for part in parts for name in part.present})
        self._ends = list(accumulate(len(part) for part in parts))

    @classmethod
    def of_splits(
        cls,
        stores: Sequence[FeatureStore],
        train_splits: str,
        validation_splits: str,
        *,
        is_training: bool,
        limit: int | None = None,
        only: Collection[str] | None = None,
        streams: Mapping[str, float | None],
        required_streams: Collection[str] | None = None,
        **settings: Any,
    ) -> JoinedDataset:
        """The clips of all stores to learn from, or those to measure on.

        Args:
            stores: opened stores.
            train_splits: as ``vab.features.splits.choose_clips`` reads them.
            validation_splits: the same.
            is_training: which of the two; also of every ``FeatureDataset``.
            limit: at most so many clips of each store, the first; None = all.
            only: ids of the clips that may be among them; None = all.
            streams: which batches hold, at which rate.
            required_streams: which of them a clip must have; None = all.
            settings: of every ``FeatureDataset``.

        Raises:
            StoreError: a store has no such clips.
        """
        chosen = choose_clips(
            stores, train_splits, validation_splits, streams=required_streams or list(streams)
        )
        parts = []
        for store, clips in zip(stores, chosen, strict=True):
            indices = clips.train if is_training else clips.validation
            if only is not None:
                indices = [index for index in indices if store.clips.ids[index] in only]
                if not indices:
                    raise StoreError(f"{store.path}: the list names none of the clips to learn from")
            parts.append(indices[:limit])
        settings |= {"streams": streams, "is_training": is_training}
        return cls(
            [FeatureDataset(store, part, **settings) for store, part in zip(stores, parts, strict=True)]
        )

    def describe(self) -> str:
        """How many clips each store contributes, for the provenance of what is trained."""
        return ", ".join(f"{len(part)} clips of {part.store.path.resolve().name}" for part in self.parts)

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
        seeds = [seed for _, seed in items]
        return self.parts[0].augment(_concatenated(batches, order), seeds, self._grid)


def _shared(part: FeatureDataset) -> dict[str, object]:
    """What must be equal."""
    streams = {
        f"{name} {field}": getattr(stream, field)
        for name, stream in part.streams.items()
        for field in ("fingerprint", "rate", "shape")
    }
    return streams | {
        "streams": list(part.streams),
        "seconds": part.seconds,
        "is_training": part.is_training,
        "mixup_prob": part.mixup_prob,
        "roll_prob": part.roll_prob,
    }


def _concatenated(batches: Sequence[FeatureBatch], order: torch.Tensor) -> FeatureBatch:
    """Unmixed batches as one, row ``i`` of it being row ``order[i]`` of them laid end to end."""
    ids = [name for batch in batches for name in batch.ids]
    labels = [names for batch in batches for names in batch.labels]

    def joined(parts: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}

    return FeatureBatch(
        streams=joined([batch.streams for batch in batches]),
        is_valid=joined([batch.is_valid for batch in batches]),
        ids=tuple(ids[i] for i in order),
        labels=tuple(labels[i] for i in order),
    )
