"""Temporal mixup and temporal rolling of batches (paper appendix B.3): pure functions of a generator.

Both move codes and visual features by the same time, on the grid where a step and a frame begin together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from vab.features.batch import FeatureBatch
from vab.features.grid import TimeGrid
from vab.shapes import Int, Tensor


def temporal_mixup(
    batch: FeatureBatch, grid: TimeGrid, *, prob: float, generator: torch.Generator
) -> FeatureBatch:
    """Give each clip, with probability ``prob``, another clip's end after a random breaking point.

    The point is uniform over the grid strictly inside the real part of both clips, so that both are heard
    and seen and no padding lands in the middle. Clips that share no such point, or of which only one has
    sound or pictures, stay as they are.

    Args:
        batch: at least two clips, or nothing happens.
        grid: where a step and a frame begin together.
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
    is_alike = (batch.has_audio == batch.has_audio[partner]) & (batch.has_visual == batch.has_visual[partner])
    can_mix = (chosen & is_alike & (partner != torch.arange(size))).tolist()
    cuts = []
    for b, p in enumerate(partner.tolist()):
        points = min(lengths[b], lengths[p]) - 1
        cuts.append(1 + int(where[b] * points) if can_mix[b] and points >= 1 else 0)
    return mix(batch, grid, partner, cuts) if any(cuts) else batch


def mix(batch: FeatureBatch, grid: TimeGrid, partner: Int[Tensor, " B"], cuts: Sequence[int]) -> FeatureBatch:
    """Each clip up to its cut, then clip ``partner`` from that time on.

    Args:
        batch: the clips.
        grid: where a step and a frame begin together.
        partner: row of the clip that follows.
        cuts: grid point of the break, one a clip; 0 leaves the clip as it is.
    """
    is_mixed = torch.tensor([cut > 0 for cut in cuts])
    partner = torch.where(is_mixed, partner, torch.arange(len(batch)))
    steps = torch.tensor([grid.step(cut) for cut in cuts])[:, None]
    frames = torch.tensor([grid.frame(cut) for cut in cuts])[:, None]
    takes_step = (torch.arange(batch.codes.shape[2]) >= steps) & is_mixed[:, None]
    takes_frame = (torch.arange(batch.visual.shape[1]) >= frames) & is_mixed[:, None]
    is_valid = torch.where(takes_step, batch.is_valid[partner], batch.is_valid)
    is_valid_visual = torch.where(takes_frame, batch.is_valid_visual[partner], batch.is_valid_visual)
    # Shares are counted on the modality that is there; visual frames stand in where there is no sound.
    by_step = (is_valid & ~takes_step).sum(1) / is_valid.sum(1).clamp(min=1)
    by_frame = (is_valid_visual & ~takes_frame).sum(1) / is_valid_visual.sum(1).clamp(min=1)
    share = torch.where(batch.has_audio, by_step, by_frame)
    return replace(
        batch,
        codes=torch.where(takes_step[:, None], batch.codes[partner], batch.codes),
        visual=torch.where(takes_frame[:, :, None], batch.visual[partner], batch.visual),
        is_valid=is_valid,
        is_valid_visual=is_valid_visual,
        partner=partner,
        mix=torch.where(is_mixed, share, 1.0),
    )


def temporal_roll(
    batch: FeatureBatch, grid: TimeGrid, *, prob: float, generator: torch.Generator
) -> FeatureBatch:
    """Rotate each clip in time, with probability ``prob``, by a uniform non-zero shift on the grid.

    Args:
        batch: the clips.
        grid: where a step and a frame begin together.
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
    stay where they are, so codes and visual features move by the same time everywhere.

    Args:
        batch: the clips.
        grid: where a step and a frame begin together.
        shifts: grid points, one a clip; positive = later.
    """
    lengths = _lengths(batch, grid)
    steps = _rotation(batch.codes.shape[2], [grid.step(n) for n in lengths], [grid.step(s) for s in shifts])
    frames = _rotation(
        batch.visual.shape[1], [grid.frame(n) for n in lengths], [grid.frame(s) for s in shifts]
    )
    return replace(
        batch,
        codes=batch.codes.gather(2, steps[:, None].expand_as(batch.codes)),
        visual=batch.visual.gather(1, frames[:, :, None].expand_as(batch.visual)),
    )


def _rotation(size: int, lengths: Sequence[int], shifts: Sequence[int]) -> Int[Tensor, "B size"]:
    """For each place the place its content comes from, turning the first ``length`` of ``size`` places."""
    place = torch.arange(size)[None]
    length = torch.tensor(lengths)[:, None]
    return torch.where(place < length, (place - torch.tensor(shifts)[:, None]) % length.clamp(min=1), place)


def _lengths(batch: FeatureBatch, grid: TimeGrid) -> list[int]:
    """Whole grid periods inside the real part of each clip, of sound and pictures where both are there."""
    num_steps, num_frames = batch.is_valid.sum(1).tolist(), batch.is_valid_visual.sum(1).tolist()
    return [grid.num_within(s or None, f or None) for s, f in zip(num_steps, num_frames, strict=True)]
