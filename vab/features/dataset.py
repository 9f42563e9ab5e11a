"""Training and evaluation items from a feature store, every random draw a function of an explicit seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch.utils.data import Dataset

from vab.features.augment import temporal_mixup, temporal_roll
from vab.features.batch import FeatureBatch, take_steps
from vab.features.grid import TimeGrid, as_fraction
from vab.features.info import StreamInfo
from vab.features.sampler import mixed_seed
from vab.features.store import FeatureStore
from vab.shapes import Int, Tensor

Item = tuple[int, int]
"""Which clip of the dataset, and the seed of everything random about it."""


class FeatureDataset(Dataset[FeatureBatch]):
    """Clips of a store, ready for a model; whole batches of (item, seed) pairs are fetched at once.

    In training the crop, the frames and the augmentations are drawn from the seeds (of a ``StepSampler``);
    in evaluation seeds count for nothing: the first crop, the middle frames, no augmentation.

    Give a ``DataLoader`` a batch sampler and ``collate_fn=keep_batch``.

    Args:
        store: where the features are.
        indices: which clips of it, from ``store.select``; None = all.
        streams: which streams to hand out, at how many steps a second; None = the store's own rate. A rate must
            divide the store's, and only of streams made from frames may it be another: of the steps that fall into
            one, one is drawn (paper appendix B.1: 5 frames a second stored, 1 used). Default: all of the store.
        num_codebooks: codebooks of "codes" to hand out, from the coarsest; None = all.
        crop_seconds: crops of this length, starting where steps of all streams begin together; a padded clip
            is cropped inside its real part where that is long enough. None = whole clips.
        mixup_prob: share of clips whose end is replaced by another clip's (paper: 0.5).
        roll_prob: share of clips that are rotated in time (paper: 0.1).
        is_training: whether anything is random.

    Raises:
        ValueError: rates, lengths or codebooks that do not fit the store.
        StoreError: the store has no such stream.
    """

    def __init__(
        self,
        store: FeatureStore,
        indices: Sequence[int] | None = None,
        *,
        streams: Mapping[str, float | None] | None = None,
        num_codebooks: int | None = None,
        crop_seconds: float | None = None,
        mixup_prob: float = 0.0,
        roll_prob: float = 0.0,
        is_training: bool = False,
    ) -> None:
        for name, prob in (("mixup_prob", mixup_prob), ("roll_prob", roll_prob)):
            if not 0 <= prob <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {prob}")
        self.store = store
        self.indices = list(range(len(store))) if indices is None else list(indices)
        self.num_codebooks = num_codebooks
        self.mixup_prob = mixup_prob
        self.roll_prob = roll_prob
        self.is_training = is_training
        info = store.info
        wanted = dict.fromkeys(info.streams) if streams is None else streams
        self.streams = {
            name: _at_rate(store.stream(name), rate, num_codebooks) for name, rate in wanted.items()
        }
        """What batches hold, as they hold it."""
        self._every = {
            name: int(as_fraction(info.streams[name].rate) / as_fraction(stream.rate))
            for name, stream in self.streams.items()
        }
        """Of how many stored steps one is drawn."""
        self.present = [name for name in self.streams if store.clips.num_steps[name][self.indices].any()]
        """Streams that any of the clips has."""
        self.grid = self.grid_of(self.present)
        """Where clips are cut, mixed and rolled: a stream that no clip has sets no limit."""
        self.seconds = info.clip_seconds if crop_seconds is None else crop_seconds
        """Length of every item."""
        self.num_steps = {name: stream.num_steps(self.seconds) for name, stream in self.streams.items()}
        """Of each stream in every batch."""
        self._crop_points: int | None = None
        if crop_seconds is not None:
            if crop_seconds > info.clip_seconds:
                raise ValueError(f"crop_seconds {crop_seconds} exceeds the store's {info.clip_seconds:g} s")
            self._crop_points = self.grid.points_in(crop_seconds)

    def grid_of(self, names: Collection[str]) -> TimeGrid:
        """Where steps of some streams begin together, or of all where there are none."""
        rates = {name: stream.rate for name, stream in self.streams.items() if name in names or not names}
        return TimeGrid.of(rates)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: Item) -> FeatureBatch:
        """A batch of one."""
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[Item]) -> FeatureBatch:
        """A batch; the data loader calls this when it is given a batch sampler."""
        return self.augment(self.read(items), [seed for _, seed in items])

    def batches(self, size: int) -> Iterator[FeatureBatch]:
        """All clips in order, with seeds of 0: as they are measured."""
        for start in range(0, len(self), size):
            yield self.__getitems__([(index, 0) for index in range(start, min(start + size, len(self)))])

    def read(self, items: Sequence[Item]) -> FeatureBatch:
        """A batch before augmentation: frames drawn, cropped."""
        generators = [torch.Generator().manual_seed(seed) if self.is_training else None for _, seed in items]
        batch = self.store.read([self.indices[number] for number, _ in items], list(self.streams))
        if "codes" in self.streams and self.num_codebooks is not None:
            codes = batch.streams["codes"][:, : self.num_codebooks]
            batch = replace(batch, streams=batch.streams | {"codes": codes})
        for name, every in self._every.items():
            if every > 1:
                batch = self._drawn(batch, name, every, generators)
        return batch if self._crop_points is None else self._cropped(batch, self._crop_points, generators)

    def augment(
        self, batch: FeatureBatch, seeds: Sequence[int], grid: TimeGrid | None = None
    ) -> FeatureBatch:
        """Temporal mixup and rolling, in training; a clip's partner comes from the same batch."""
        if not self.is_training:
            return batch
        grid = grid or self.grid
        generator = torch.Generator().manual_seed(mixed_seed(*seeds))
        batch = temporal_mixup(batch, grid, prob=self.mixup_prob, generator=generator)
        return temporal_roll(batch, grid, prob=self.roll_prob, generator=generator)

    def _drawn(
        self, batch: FeatureBatch, name: str, every: int, generators: Sequence[torch.Generator | None]
    ) -> FeatureBatch:
        """One of every so many stored steps: a random one, or the middle one without a generator."""
        stored = batch.is_valid[name].shape[1]
        size = self.streams[name].num_steps(self.store.info.clip_seconds)
        firsts = torch.arange(size) * every
        where = torch.stack([_uniform(size, generator) for generator in generators])
        # A clip's last second may be cut short: only its real frames are drawn from.
        ends = batch.is_valid[name].sum(1, keepdim=True)
        available = torch.where(ends > firsts, ends - firsts, stored - firsts).clamp(max=every)
        chosen = firsts + (where * available).long()
        return replace(
            batch,
            streams=batch.streams | {name: take_steps(batch.streams[name], chosen)},
            is_valid=batch.is_valid | {name: firsts < ends},
        )

    def _cropped(
        self, batch: FeatureBatch, points: int, generators: Sequence[torch.Generator | None]
    ) -> FeatureBatch:
        """``points`` grid periods of every clip: from a random place, or the first without a generator."""
        counts = {name: batch.is_valid[name].sum(1).tolist() for name in self.grid.rates}
        starts = []
        for b, generator in enumerate(generators):
            last = self.grid.num_within({name: count[b] for name, count in counts.items()}) - points
            starts.append(
                int(torch.randint(last + 1, (), generator=generator)) if generator and last > 0 else 0
            )
        streams, is_valid = {}, {}
        for name, valid in batch.is_valid.items():
            firsts = [self.grid.step(name, start) if name in self.grid.rates else 0 for start in starts]
            steps = _window(valid.shape[1], self.num_steps[name], firsts)
            streams[name] = take_steps(batch.streams[name], steps)
            is_valid[name] = valid.gather(1, steps)
        return replace(batch, streams=streams, is_valid=is_valid)


def _at_rate(stream: StreamInfo, rate: float | None, num_codebooks: int | None) -> StreamInfo:
    """A stream as it is wanted."""
    if stream.name == "codes" and num_codebooks is not None:
        if not 1 <= num_codebooks <= stream.shape[0]:
            raise ValueError(f"num_codebooks must be 1 to {stream.shape[0]}, not {num_codebooks}")
        stream = replace(stream, shape=(num_codebooks,))
    if rate is None or as_fraction(rate) == as_fraction(stream.rate):
        return stream
    if stream.source != "frames":
        raise ValueError(f"{stream.name} has {stream.rate:g} steps a second, not {rate:g}")
    if (as_fraction(stream.rate) / as_fraction(rate)).denominator != 1:
        raise ValueError(f"{stream.name}: {rate:g} steps a second do not divide the store's {stream.rate:g}")
    return replace(stream, rate=rate)


def keep_batch(batch: FeatureBatch) -> FeatureBatch:
    """The ``collate_fn`` of a data loader whose dataset returns whole batches."""
    return batch


def _uniform(size: int, generator: torch.Generator | None) -> Tensor:
    """Numbers in [0, 1), or all in the middle."""
    return torch.full((size,), 0.5) if generator is None else torch.rand(size, generator=generator)


def _window(size: int, length: int, starts: Sequence[int]) -> Int[Tensor, "B length"]:
    """Indices of ``length`` places from each start, moved back where rounding would cross the end."""
    first = torch.tensor(starts).clamp(max=size - length)[:, None]
    return first + torch.arange(length)
