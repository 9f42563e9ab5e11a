"""Read a feature store: memory-mapped, random access, safe from many workers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vab.errors import StoreError
from vab.features.batch import FeatureBatch
from vab.features.info import StoreInfo, StreamInfo
from vab.features.shards import ShardArrays, check_digest, map_arrays, read_clips, shard_lines, shard_numbers
from vab.shapes import Tensor


@dataclass(frozen=True)
class StoredClip:
    """What a store knows about one clip besides its features."""

    id: str
    source: str
    """The file it came from."""
    start: float
    """Seconds into that file."""
    duration: float | None
    """Seconds asked for; None = to the end. At most the store's ``clip_seconds`` of them are kept."""
    split: str
    labels: tuple[str, ...]
    caption: str
    num_steps: dict[str, int]
    """Steps of each stream before padding; 0 = the clip lacks it."""


class ClipTable(Sequence[StoredClip]):
    """The clips of a store, kept in columns: millions of them stay small."""

    def __init__(self, streams: Collection[str]) -> None:
        self._streams = streams
        self.ids: list[str] = []
        self.splits: list[str] = []
        self.labels: list[tuple[str, ...]] = []
        self._shards: list[ShardArrays] = []
        self._rest: list[tuple[str, float, float | None, str]] = []
        self._shared: dict[Any, Any] = {}

    def add_shard(self, clips: list[dict[str, Any]], arrays: ShardArrays) -> None:
        """Append the clips of one shard that have features."""
        for clip in clips:
            if clip["row"] is None:
                continue
            self.ids.append(clip["id"])
            # A store has few splits and label sets: each is kept once.
            self.splits.append(self._shared.setdefault(clip["split"], clip["split"]))
            labels = tuple(clip["labels"])
            self.labels.append(self._shared.setdefault(labels, labels))
            self._rest.append((clip["source"], clip["start"], clip["duration"], clip["caption"]))
        self._shards.append(arrays)

    @cached_property
    def num_steps(self) -> dict[str, np.ndarray]:
        """By stream, the steps of each clip before padding, int32; 0 = the clip lacks it."""
        return {
            name: np.concatenate([np.zeros(0, np.int32), *(s.num_steps[name].numpy() for s in self._shards)])
            for name in self._streams
        }

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        source, start, duration, caption = self._rest[index]
        return StoredClip(
            self.ids[index],
            source,
            start,
            duration,
            self.splits[index],
            self.labels[index],
            caption,
            {name: int(steps[index]) for name, steps in self.num_steps.items()},
        )


class FeatureStore:
    """A folder of features made by ``vab extract``, opened for reading.

    Only complete shards are seen, so a store may be read while it grows; reopen it to see more. Pickled, it
    is its path: each process maps the files for itself when it first reads.

    Streams that ``vab extract --add`` brought in lie in stores of their own under ``streams/``; a clip that one of
    them does not hold (yet) lacks that stream.

    Args:
        path: the folder.

    Raises:
        StoreError: no store, or a damaged, truncated or foreign shard, named in one line.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.info = StoreInfo.read(self.path)
        """Of all streams, added ones too."""
        self._own = tuple(self.info.streams)
        self.clips = ClipTable(self._own)
        """What is known about each clip, by index."""
        self._shards: list[ShardArrays] = []
        self._heads: list[tuple[Path, dict[str, Any]]] = []
        firsts = []
        for number in shard_numbers(self.path / "shards"):
            lines_path = shard_lines(self.path / "shards", number)
            head, clips = read_clips(lines_path)
            arrays = map_arrays(lines_path, head, self.info)
            if not len(arrays):
                continue
            firsts.append(len(self.clips))
            try:
                self.clips.add_shard(clips, arrays)
            except (KeyError, TypeError) as error:
                raise StoreError(
                    f"{lines_path}: damaged ({error}); delete this shard and extract again"
                ) from error
            self._shards.append(arrays)
            self._heads.append((lines_path, head))
        self._firsts = np.array(firsts, np.int64)
        self._added = {folder.name: self._open_added(folder) for folder in added_stores(self.path)}

    def _open_added(self, folder: Path) -> tuple[FeatureStore, np.ndarray]:
        """A store of an added stream, and where in it each clip is; -1 = not in it."""
        added = FeatureStore(folder)
        if list(added.info.streams) != [folder.name] or added.info.clip_seconds != self.info.clip_seconds:
            raise StoreError(f"{folder}: does not hold a stream {folder.name!r} of this store; delete it")
        place = {name: index for index, name in enumerate(added.clips.ids)}
        places = np.array([place.get(name, -1) for name in self.clips.ids], np.int64)
        steps = added.clips.num_steps[folder.name]
        self.clips.num_steps[folder.name] = np.where(places < 0, 0, np.append(steps, 0)[places]).astype(
            np.int32
        )
        self.info = replace(self.info, streams=self.info.streams | added.info.streams)
        return added, places

    def __len__(self) -> int:
        return len(self.clips)

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r}: {len(self)} clips in {len(self._shards)} shards)"

    def __reduce__(self) -> tuple[Any, tuple[Path, int]]:
        return _reopened, (self.path.absolute(), len(self))

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that its clips belong to; clips without a split are in ""."""
        return tuple(sorted(set(self.clips.splits)))

    def stream(self, name: str) -> StreamInfo:
        """The description of a stream.

        Raises:
            StoreError: the store has no such stream.
        """
        if name not in self.info.streams:
            raise StoreError(
                f"{self.path}: has no stream {name!r}, only {', '.join(self.info.streams)}; "
                f"`vab extract --store {self.path} --add {name}` computes it"
            )
        return self.info.streams[name]

    def select(
        self,
        *,
        split: str | Collection[str] | None = None,
        labels: Collection[str] | None = None,
        streams: Collection[str] | None = None,
    ) -> list[int]:
        """Indices of clips, ascending.

        Args:
            split: a split or several; None = all.
            labels: clips with at least one of these; None = all.
            streams: what a clip must have; None = all streams that the store was made with.

        Raises:
            StoreError: the store has no such stream.
        """
        clips = self.clips
        keep = np.ones(len(clips), bool)
        for name in self._own if streams is None else streams:
            keep &= clips.num_steps[self.stream(name).name] > 0
        chosen: list[int] = np.flatnonzero(keep).tolist()
        if split is not None:
            splits = {split} if isinstance(split, str) else set(split)
            chosen = [i for i in chosen if clips.splits[i] in splits]
        if labels is not None:
            wanted = set(labels)
            chosen = [i for i in chosen if not wanted.isdisjoint(clips.labels[i])]
        return chosen

    def read(
        self, indices: Sequence[int] | np.ndarray | Tensor, streams: Collection[str] | None = None
    ) -> FeatureBatch:
        """The features of some clips, in the order asked for.

        Args:
            indices: which clips.
            streams: names; None = all.

        Raises:
            IndexError: an index outside the store.
            StoreError: the store has no such stream.
        """
        wanted = np.asarray(indices, np.int64).reshape(-1)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"{self.path} has clips 0 to {len(self) - 1}, not all of {wanted.tolist()}")
        names = [self.stream(name).name for name in (self.info.streams if streams is None else streams)]
        features = self._read_own(wanted, [name for name in names if name in self._own])
        for name in names:
            if name in self._added:
                added, places = self._added[name]
                there = torch.from_numpy(np.flatnonzero(places[wanted] >= 0))
                features[name] = self._zeros(name, len(wanted))
                features[name][there] = added._read_own(places[wanted][places[wanted] >= 0], [name])[name]
        return FeatureBatch(
            streams={name: features[name] for name in names},
            is_valid={
                name: torch.arange(self.info.num_steps(name))
                < torch.from_numpy(self.clips.num_steps[name][wanted])[:, None]
                for name in names
            },
            ids=tuple(self.clips.ids[i] for i in wanted),
            labels=tuple(self.clips.labels[i] for i in wanted),
        )

    def _read_own(self, wanted: np.ndarray, names: Sequence[str]) -> dict[str, Tensor]:
        """Streams that lie in this folder's own shards."""
        features = {name: self._zeros(name, len(wanted)) for name in names}
        shard_of = np.searchsorted(self._firsts, wanted, side="right") - 1
        # Shard by shard, rows ascending: the disk is read forwards.
        order = np.argsort(wanted, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(shard_of[order])) + 1) if len(wanted) else ():
            shard = shard_of[places[0]]
            rows = torch.from_numpy(wanted[places] - self._firsts[shard])
            for name, target in features.items():
                target[torch.from_numpy(places)] = self._shards[shard].streams[name][rows].to(target.dtype)
        return features

    def _zeros(self, name: str, size: int) -> Tensor:
        stream = self.info.streams[name]
        dtype = torch.int64 if stream.kind == "codes" else torch.float32
        return torch.zeros(stream.batch_shape(size, self.info.num_steps(name)), dtype=dtype)

    def verify(self) -> None:
        """Read everything once and compare it with the digests noted at extraction.

        Raises:
            StoreError: names the first file that changed.
        """
        for lines_path, head in self._heads:
            check_digest(lines_path, head)
        for added, _ in self._added.values():
            added.verify()


@lru_cache(maxsize=4)
def _reopened(path: Path, num_clips: int) -> FeatureStore:
    """A store that another process had open; a worker that is sent its clips one by one opens it once."""
    return FeatureStore(path)


def added_stores(path: Path) -> list[Path]:
    """Folders of the streams that were added to a store."""
    return sorted(description.parent for description in (path / "streams").glob("*/store.json"))
