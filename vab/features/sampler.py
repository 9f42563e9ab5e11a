"""Which clips, with which seeds, make up optimisation batch number b: a pure function of (seed, b)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count

import torch
from torch.utils.data import Sampler

_MASK = (1 << 64) - 1


def mixed_seed(*parts: int) -> int:
    """One well-spread 63-bit seed from several integers (SplitMix64's finaliser over their chain)."""
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (item, seed) for training that resumes exactly; pass it as ``batch_sampler``.

    Items come in seeded permutations, one an epoch, laid end to end: no clip is dropped and every batch is
    full. With ``weights``, an epoch is as many draws with replacement (class-balanced sampling, table 8).

    Args:
        num_items: size of the dataset.
        batch_size: items a batch, in each replica.
        seed: of the whole run.
        start_batch: first batch to yield; a resumed run passes how many it has already seen.
        num_batches: where to stop, counted from batch 0; None = never.
        weights: one non-negative number an item; None = each item once an epoch.
        num_replicas: processes that train together; each gets its own share of the same global batch.
        rank: which of them this is.

    Raises:
        ValueError: nothing to sample from, or weights of another length.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        *,
        seed: int,
        start_batch: int = 0,
        num_batches: int | None = None,
        weights: Sequence[float] | None = None,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        if num_items < 1 or batch_size < 1:
            raise ValueError(f"nothing to sample: {num_items} items in batches of {batch_size}")
        if weights is not None and len(weights) != num_items:
            raise ValueError(f"{len(weights)} weights for {num_items} items")
        self.num_items = num_items
        self.batch_size = batch_size
        self.seed = seed
        self.start_batch = start_batch
        self.num_batches = num_batches
        self.num_replicas = num_replicas
        self.rank = rank
        self._weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float64)
        self._epoch: tuple[int, list[int]] | None = None

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first, end = self.start_batch, self.num_batches
        return map(self.batch, count(first) if end is None else range(first, end))

    def __len__(self) -> int:
        if self.num_batches is None:
            raise TypeError("a StepSampler without num_batches has no length")
        return max(0, self.num_batches - self.start_batch)

    def batch(self, number: int) -> list[tuple[int, int]]:
        """Batch ``number``: (item, seed) pairs, whatever was asked for before."""
        first = (number * self.num_replicas + self.rank) * self.batch_size
        return [
            (self._item(position), mixed_seed(self.seed, 1, position))
            for position in range(first, first + self.batch_size)
        ]

    def _item(self, position: int) -> int:
        epoch, place = divmod(position, self.num_items)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return self._epoch[1][place]

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, 0, epoch))
        if self._weights is None:
            return torch.randperm(self.num_items, generator=generator).tolist()
        # By cumulative sums rather than torch.multinomial, which stops at 2^24 items.
        edges = self._weights.cumsum(0)
        draws = torch.rand(self.num_items, generator=generator, dtype=torch.float64) * edges[-1]
        return torch.searchsorted(edges, draws, right=True).clamp(max=self.num_items - 1).tolist()


def class_balanced_weights(labels: Sequence[Sequence[str]], *, offset: float = 0.01) -> list[float]:
    """Weights that even out classes: a clip weighs the sum over its labels of 1 / (clips with it + offset).

    The rule of AST and CAV-MAE, whose setting the paper's table 8 ("class balanced sampling") follows.
    """
    counts = Counter(label for clip in labels for label in clip)
    return [sum(1 / (counts[label] + offset) for label in clip) for clip in labels]
