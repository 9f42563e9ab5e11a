"""Training and evaluation items from a feature store, every random draw a function of an explicit seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.utils.data import Dataset

from vab.features.augment import temporal_mixup, temporal_roll
from vab.features.batch import FeatureBatch
from vab.features.grid import TimeGrid, as_fraction
from vab.features.sampler import mixed_seed
from vab.features.store import FeatureStore
from vab.shapes import Int, Tensor
from vab.timing import num_frames, num_samples, num_steps

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
        num_codebooks: levels to hand out, from the coarsest; None = all.
        crop_seconds: crops of this length, starting where a step and a frame begin together; a padded clip
            is cropped inside its real part where that is long enough. None = whole clips.
        visual_fps: visual frames a second, dividing the store's: of the frames that fall into one, one is
            drawn (paper appendix B.1: 5 a second stored, 1 used). None = the store's.
        mixup_prob: share of clips whose end is replaced by another clip's (paper: 0.5).
        roll_prob: share of clips that are rotated in time (paper: 0.1).
        is_training: whether anything is random.

    Raises:
        ValueError: rates, lengths or levels that do not fit the store.
    """

    def __init__(
        self,
        store: FeatureStore,
        indices: Sequence[int] | None = None,
        *,
        num_codebooks: int | None = None,
        crop_seconds: float | None = None,
        visual_fps: float | None = None,
        mixup_prob: float = 0.0,
        roll_prob: float = 0.0,
        is_training: bool = False,
    ) -> None:
        info = store.info
        if num_codebooks is not None and not 1 <= num_codebooks <= info.codec.num_codebooks:
            raise ValueError(f"num_codebooks must be 1 to {info.codec.num_codebooks}, not {num_codebooks}")
        for name, prob in (("mixup_prob", mixup_prob), ("roll_prob", roll_prob)):
            if not 0 <= prob <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {prob}")
        self.store = store
        self.indices = list(range(len(store))) if indices is None else list(indices)
        self.num_codebooks = num_codebooks
        self.visual_fps = info.visual_fps if visual_fps is None else visual_fps
        self.mixup_prob = mixup_prob
        self.roll_prob = roll_prob
        self.is_training = is_training
        ratio = as_fraction(info.visual_fps) / as_fraction(self.visual_fps)
        if ratio.denominator != 1:
            raise ValueError(
                f"visual_fps {self.visual_fps:g} does not divide the store's {info.visual_fps:g}"
            )
        self.frames_a_draw = int(ratio)
        self.grid = TimeGrid.of(info.codec.sample_rate, info.codec.hop_length, self.visual_fps)
        self.seconds = info.clip_seconds if crop_seconds is None else crop_seconds
        """Length of every item."""
        self.num_steps = num_steps(num_samples(self.seconds, info.codec.sample_rate), info.codec.hop_length)
        """S of every batch."""
        self.num_frames = num_frames(self.seconds, self.visual_fps)
        """F of every batch."""
        self._crop_points: int | None = None
        if crop_seconds is not None:
            if crop_seconds > info.clip_seconds:
                raise ValueError(f"crop_seconds {crop_seconds} exceeds the store's {info.clip_seconds:g} s")
            self._crop_points = self.grid.points_in(crop_seconds)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: Item) -> FeatureBatch:
        """A batch of one."""
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[Item]) -> FeatureBatch:
        """A batch; the data loader calls this when it is given a batch sampler."""
        return self.augment(self.read(items), [seed for _, seed in items])

    def read(self, items: Sequence[Item]) -> FeatureBatch:
        """A batch before augmentation: frames drawn, cropped."""
        generators = [torch.Generator().manual_seed(seed) if self.is_training else None for _, seed in items]
        batch = self.store.read([self.indices[number] for number, _ in items])
        if self.num_codebooks is not None:
            batch = replace(batch, codes=batch.codes[:, : self.num_codebooks])
        batch = self._with_drawn_frames(batch, generators)
        return batch if self._crop_points is None else self._cropped(batch, self._crop_points, generators)

    def augment(self, batch: FeatureBatch, seeds: Sequence[int]) -> FeatureBatch:
        """Temporal mixup and rolling, in training; a clip's partner comes from the same batch."""
        if not self.is_training:
            return batch
        generator = torch.Generator().manual_seed(mixed_seed(*seeds))
        batch = temporal_mixup(batch, self.grid, prob=self.mixup_prob, generator=generator)
        return temporal_roll(batch, self.grid, prob=self.roll_prob, generator=generator)

    def _with_drawn_frames(
        self, batch: FeatureBatch, generators: Sequence[torch.Generator | None]
    ) -> FeatureBatch:
        """One of every ``frames_a_draw`` stored frames: a random one, or the middle one without a generator."""
        every = self.frames_a_draw
        if every == 1:
            return batch
        stored = batch.visual.shape[1]
        size = num_frames(self.store.info.clip_seconds, self.visual_fps)
        firsts = torch.arange(size) * every
        where = torch.stack([_uniform(size, generator) for generator in generators])
        # A clip's last second may be cut short: only its real frames are drawn from.
        ends = batch.is_valid_visual.sum(1, keepdim=True)
        available = torch.where(ends > firsts, ends - firsts, stored - firsts).clamp(max=every)
        chosen = firsts + (where * available).long()
        return replace(
            batch,
            visual=batch.visual.gather(1, chosen[:, :, None].expand(-1, -1, batch.visual.shape[2])),
            is_valid_visual=firsts < ends,
        )

    def _cropped(
        self, batch: FeatureBatch, points: int, generators: Sequence[torch.Generator | None]
    ) -> FeatureBatch:
        """``points`` grid periods of every clip: from a random place, or the first without a generator."""
        starts = []
        for b, generator in enumerate(generators):
            real_steps, real_frames = int(batch.is_valid[b].sum()), int(batch.is_valid_visual[b].sum())
            last = self.grid.num_within(real_steps or None, real_frames or None) - points
            starts.append(
                int(torch.randint(last + 1, (), generator=generator)) if generator and last > 0 else 0
            )
        steps = _window(batch.codes.shape[2], self.num_steps, [self.grid.step(start) for start in starts])
        frames = _window(batch.visual.shape[1], self.num_frames, [self.grid.frame(start) for start in starts])
        return replace(
            batch,
            codes=batch.codes.gather(2, steps[:, None].expand(-1, batch.codes.shape[1], -1)),
            visual=batch.visual.gather(1, frames[:, :, None].expand(-1, -1, batch.visual.shape[2])),
            is_valid=batch.is_valid.gather(1, steps),
            is_valid_visual=batch.is_valid_visual.gather(1, frames),
        )


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
