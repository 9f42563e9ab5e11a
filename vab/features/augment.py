"""Temporal mixup and temporal rolling of batches (paper appendix B.3): pure functions of a generator.

Both move all streams of a clip by the same time, on the grid where their steps begin together. Streams that are not
of the grid, because no clip of the data has them, stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from vab.features.batch import FeatureBatch, along_time, take_steps
from vab.features.grid import TimeGrid
from vab.shapes import Int, Tensor


def temporal_mixup(
    batch: FeatureBatch, grid: TimeGrid, *, prob: float, generator: torch.Generator
) -> FeatureBatch:
    """Give each clip, with probability ``prob``, another clip's end after a random breaking point.

    The point is uniform over the grid strictly inside the real part of both clips, so that both are heard
    and seen and no padding lands in the middle. Clips that share no such point, or of which only one has
    some stream, stay as they are.

    Args:
        batch: at least two clips, or nothing happens.
        grid: where steps begin together.
        prob: 0 = never, 1 = wherever possible; paper: 0.5.
        generator: source of all randomness.
    """
    size = len(batch)
    chosen = torch.rand(size, generator=generator) < prob
    # A random shift of a random order: every clip has another one as its partner, each exactly once.
    order = torch.randperm(size, generator=generator)
    partner = torch.empty_like(order).scatter_(0, order, order.roll(1))
    where = torch.rand(size, generator=generator)
    lengths = _lengths(batch, grid)
    has = torch.stack([batch.has(name) for name in grid.rates])
    is_alike = (has == has[:, partner]).all(0)
    can_mix = (chosen & is_alike & (partner != torch.arange(size))).tolist()
    cuts = []
    for b, p in enumerate(partner.tolist()):
        points = min(lengths[b], lengths[p]) - 1
        cuts.append(1 + int(where[b] * points) if can_mix[b] and points >= 1 else 0)
    return mix(batch, grid, partner, cuts) if any(cuts) else batch


def mix(batch: FeatureBatch, grid: TimeGrid, partner: Int[Tensor, " B"], cuts: Sequence[int]) -> FeatureBatch:
    """Each clip up to its cut, a point of the grid, then clip ``partner`` from there on; 0 leaves it as it is."""
    is_mixed = torch.tensor([cut > 0 for cut in cuts])
    partner = torch.where(is_mixed, partner, torch.arange(len(batch)))
    streams, is_valid = dict(batch.streams), dict(batch.is_valid)
    share = torch.ones(len(batch))
    # The share is counted on the clip's fastest stream: its steps are the finest measure of time.
    for name in sorted(grid.rates, key=lambda name: grid.rates[name]):
        first = torch.tensor([grid.step(name, cut) for cut in cuts])[:, None]
        takes = (torch.arange(is_valid[name].shape[1]) >= first) & is_mixed[:, None]
        is_valid[name] = torch.where(takes, is_valid[name][partner], is_valid[name])
        streams[name] = torch.where(along_time(takes, streams[name]), streams[name][partner], streams[name])
        num_real = is_valid[name].sum(1)
        share = torch.where(num_real > 0, (is_valid[name] & ~takes).sum(1) / num_real.clamp(min=1), share)
    return replace(batch, streams=streams, is_valid=is_valid, partner=partner, mix=share)


def temporal_roll(
    batch: FeatureBatch, grid: TimeGrid, *, prob: float, generator: torch.Generator
) -> FeatureBatch:
    """Rotate each clip in time, with probability ``prob``, by a uniform non-zero shift on the grid.

    Args:
        batch: the clips.
        grid: where steps begin together.
        prob: 0 = never, 1 = always; paper: 0.1, and 1 for ESC-50 and Speech Commands.
        generator: source of all randomness.
    """
    chosen = torch.rand(len(batch), generator=generator) < prob
    where = torch.rand(len(batch), generator=generator)
    points = [max(0, length - 1) for length in _lengths(batch, grid)]
    shifts = [1 + int(where[b] * count) if chosen[b] and count else 0 for b, count in enumerate(points)]
    return roll(batch, grid, shifts) if any(shifts) else batch


def roll(batch: FeatureBatch, grid: TimeGrid, shifts: Sequence[int]) -> FeatureBatch:
    """Rotate each clip by its own number of grid points; the opposite shifts undo it exactly.

    Only the whole grid periods of a clip's real part turn: padding, and a remainder shorter than a period,
    stay where they are, so all streams move by the same time everywhere. Positive is later.
    """
    lengths = _lengths(batch, grid)
    rolled = {
        name: take_steps(
            batch.streams[name],
            _rotation(
                batch.is_valid[name].shape[1],
                [grid.step(name, length) for length in lengths],
                [grid.step(name, shift) for shift in shifts],
            ),
        )
        for name in grid.rates
    }
    return replace(batch, streams=batch.streams | rolled)


def _rotation(size: int, lengths: Sequence[int], shifts: Sequence[int]) -> Int[Tensor, "B size"]:
    """For each place the place its content comes from, turning the first ``length`` of ``size`` places."""
    place = torch.arange(size)[None]
    length = torch.tensor(lengths)[:, None]
    return torch.where(place < length, (place - torch.tensor(shifts)[:, None]) % length.clamp(min=1), place)


def _lengths(batch: FeatureBatch, grid: TimeGrid) -> list[int]:
    """Whole grid periods inside the real part of each clip, of all streams that it has."""
    counts = {name: batch.is_valid[name].sum(1).tolist() for name in grid.rates}
    return [
        grid.num_within(dict(zip(counts, clip, strict=True))) for clip in zip(*counts.values(), strict=True)
    ]
