"""Read a feature store: memory-mapped, random access, safe from many workers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vab.errors import StoreError
from vab.features.batch import FeatureBatch
from vab.features.info import StoreInfo
from vab.features.read import Require
from vab.features.shards import ShardArrays, check_digest, map_arrays, read_clips, shard_name, shard_numbers
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
    num_steps: int
    """Codec steps before padding; 0 = no sound."""
    num_frames: int
    """Visual frames before padding; 0 = no pictures."""


class ClipTable(Sequence[StoredClip]):
    """The clips of a store, kept in columns: millions of them stay small."""

    def __init__(self) -> None:
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
    def num_steps(self) -> np.ndarray:
        """Codec steps of each clip before padding, int32; 0 = no sound."""
        return np.concatenate([np.zeros(0, np.int32), *(shard.num_steps.numpy() for shard in self._shards)])

    @cached_property
    def num_frames(self) -> np.ndarray:
        """Visual frames of each clip before padding, int32; 0 = no pictures."""
        return np.concatenate([np.zeros(0, np.int32), *(shard.num_frames.numpy() for shard in self._shards)])

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
            int(self.num_steps[index]),
            int(self.num_frames[index]),
        )

    def __iter__(self) -> Iterator[StoredClip]:
        return (self[i] for i in range(len(self)))


class FeatureStore:
    """A folder of features made by ``vab extract``, opened for reading.

    Only complete shards are seen, so a store may be read while it grows; reopen it to see more. Pickled, it
    is its path: each process maps the files for itself when it first reads.

    Args:
        path: the folder.

    Raises:
        StoreError: no store, or a damaged, truncated or foreign shard, named in one line.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.info = StoreInfo.read(self.path)
        self.clips = ClipTable()
        """What is known about each clip, by index."""
        self._shards: list[ShardArrays] = []
        self._heads: list[tuple[Path, dict[str, Any]]] = []
        firsts = []
        for number in shard_numbers(self.path / "shards"):
            lines_path = self.path / "shards" / f"{shard_name(number)}.jsonl"
            head, clips = read_clips(lines_path)
            arrays = map_arrays(lines_path, head, self.info)
            if not len(arrays.codes):
                continue
            firsts.append(len(self.clips))
            self._add(lines_path, head, clips, arrays)
        self._firsts = np.array(firsts, np.int64)

    def _add(
        self, lines_path: Path, head: dict[str, Any], clips: list[dict[str, Any]], arrays: ShardArrays
    ) -> None:
        try:
            self.clips.add_shard(clips, arrays)
        except (KeyError, TypeError) as error:
            raise StoreError(
                f"{lines_path}: damaged ({error}); delete this shard and extract again"
            ) from error
        self._shards.append(arrays)
        self._heads.append((lines_path, head))

    def __len__(self) -> int:
        return len(self.clips)

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r}: {len(self)} clips in {len(self._shards)} shards)"

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return FeatureStore, (self.path,)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that its clips belong to."""
        return tuple(sorted(set(self.clips.splits)))

    def select(
        self,
        *,
        split: str | Collection[str] | None = None,
        labels: Collection[str] | None = None,
        require: Require = "both",
    ) -> list[int]:
        """Indices of clips, ascending.

        Args:
            split: a split or several; None = all.
            labels: clips with at least one of these; None = all.
            require: which modalities a clip must have; the default keeps audio-visual pairs.
        """
        clips = self.clips
        keep = np.ones(len(clips), bool)
        if require in ("both", "audio"):
            keep &= clips.num_steps > 0
        if require in ("both", "visual"):
            keep &= clips.num_frames > 0
        chosen: list[int] = np.flatnonzero(keep).tolist()
        if split is not None:
            splits = {split} if isinstance(split, str) else set(split)
            chosen = [i for i in chosen if clips.splits[i] in splits]
        if labels is not None:
            wanted = set(labels)
            chosen = [i for i in chosen if not wanted.isdisjoint(clips.labels[i])]
        return chosen

    def read(self, indices: Sequence[int] | np.ndarray | Tensor) -> FeatureBatch:
        """The features of some clips, in the order asked for.

        Raises:
            IndexError: an index outside the store.
        """
        wanted = np.asarray(indices, np.int64).reshape(-1)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"{self.path} has clips 0 to {len(self) - 1}, not all of {wanted.tolist()}")
        size, info = len(wanted), self.info
        codes = torch.zeros(size, info.codec.num_codebooks, info.num_steps, dtype=torch.int64)
        visual = torch.zeros(size, info.num_frames, info.encoder.embed_dim)
        shard_of = np.searchsorted(self._firsts, wanted, side="right") - 1
        # Shard by shard, rows ascending: the disk is read forwards.
        order = np.argsort(wanted, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(shard_of[order])) + 1) if size else ():
            shard = shard_of[places[0]]
            rows = torch.from_numpy(wanted[places] - self._firsts[shard])
            places_ = torch.from_numpy(places)
            codes[places_] = self._shards[shard].codes[rows].long()
            visual[places_] = self._shards[shard].visual[rows].float()
        num_steps = torch.from_numpy(self.clips.num_steps[wanted])[:, None]
        num_frames = torch.from_numpy(self.clips.num_frames[wanted])[:, None]
        return FeatureBatch(
            codes=codes,
            visual=visual,
            is_valid=torch.arange(info.num_steps) < num_steps,
            is_valid_visual=torch.arange(info.num_frames) < num_frames,
            ids=tuple(self.clips.ids[i] for i in wanted),
            labels=tuple(self.clips.labels[i] for i in wanted),
        )

    def verify(self) -> None:
        """Read everything once and compare it with the digests noted at extraction.

        Raises:
            StoreError: names the first file that changed.
        """
        for lines_path, head in self._heads:
            check_digest(lines_path, head)
