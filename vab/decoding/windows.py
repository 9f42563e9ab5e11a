"""Codes of any length by windows that overlap (appendix E for lengths), for any model of codes and frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F

from vab.decoding.guidance import guide
from vab.decoding.iterative import decode_iteratively
from vab.decoding.options import DecodingOptions
from vab.features.grid import TimeGrid, as_fraction
from vab.shapes import Bool, Float, Int, Tensor
from vab.timing import steps_begun


@runtime_checkable
class Rates(Protocol):
    """The two rates of a model's configuration."""

    @property
    def frame_rate(self) -> float:
        """Codec steps a second."""
        ...

    @property
    def visual_fps(self) -> float:
        """Visual frames a second."""
        ...


@dataclass(frozen=True)
class Windows:
    """How a long clip is cut: windows of one size that begin where a codec step and a frame begin together."""

    num_steps: int
    num_frames: int
    hop: int
    """Points of ``grid`` from one window to the next."""
    grid: TimeGrid

    @classmethod
    def of(cls, config: Rates, window_seconds: float, overlap_seconds: float) -> Windows:
        """Windows of a length in seconds; the overlap is at least what is asked for.

        A last step that begins inside the window belongs to it, as in training: 10 s of 44.1 kHz sound are 862 steps
        of 512 samples.

        Raises:
            ValueError: the overlap leaves nothing to move by.
        """
        grid = TimeGrid.of(*as_fraction(config.frame_rate).as_integer_ratio(), config.visual_fps)
        hop = int(as_fraction(window_seconds - overlap_seconds) / grid.period)
        if hop < 1:
            raise ValueError(
                f"windows of {window_seconds} s that overlap by {overlap_seconds} s leave nothing to move by; "
                f"they can move by multiples of {float(grid.period):g} s"
            )
        num_steps = steps_begun(window_seconds, config.frame_rate)
        return cls(num_steps, max(1, round(window_seconds * config.visual_fps)), hop, grid)

    def first_step(self, index: int) -> int:
        """Codec step at which a window begins."""
        return self.grid.step(index * self.hop)

    def first_frame(self, index: int) -> int:
        """Visual frame at which a window begins."""
        return self.grid.frame(index * self.hop)

    def count(self, num_steps: int) -> int:
        """Windows that cover a clip."""
        count = 1
        while self.first_step(count - 1) + self.num_steps < num_steps:
            count += 1
        return count

    def num_covered(self, num_steps: int) -> int:
        """Steps of all windows that cover a clip, at least its own."""
        return self.first_step(self.count(num_steps) - 1) + self.num_steps


def decode_in_windows(
    model: Any,
    codes: Sequence[Int[Tensor, "K _"]],
    visual: Sequence[Float[Tensor, "_ E"]] | None,
    *,
    windows: Windows,
    options: DecodingOptions,
    seeds: Sequence[int],
    num_given: int = 0,
    batch_size: int = 8,
    on_window: Callable[[int], None] | None = None,
) -> list[Int[Tensor, "K _"]]:
    """Fill in every [MASK] of each clip's codes, clips of any lengths in batches; the result is on the CPU.

    Whatever is no [MASK] is a prompt and stays. So each later window takes over what the one before it left in their
    overlap, and the seam is the model's own. Past a clip's last frame that frame repeats; past its last step nothing
    is attended to.

    Args:
        model: on the device to run on: ``model(codes, visual, is_dropped=, is_valid=)`` gives logits of the levels
            that are not given; ``model.config`` has ``mask_token_id`` and ``visual_dim``.
        codes: a tensor a clip.
        visual: features at the model's rate, a tensor a clip; None = there are none, nor is there guidance.
        windows: how long clips are cut.
        options: of the decoding.
        seeds: one a clip; a clip's result depends on its own seed alone, not on its batch.
        num_given: levels, from the coarsest, that hold no [MASK] and for which the model gives no logits.
        batch_size: clips a model pass.
        on_window: called with the number of windows finished, for a progress bar.
    """
    device = next(model.parameters()).device
    config = model.config
    if visual is None:
        options = replace(options, cfg_scale=1.0)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    done = [each.to(device, copy=True) for each in codes]
    counts = [windows.count(each.shape[1]) for each in done]
    for index in range(max(counts, default=0)):
        first = windows.first_step(index)
        active = [clip for clip, count in enumerate(counts) if index < count]
        for start in range(0, len(active), batch_size):
            batch = active[start : start + batch_size]
            pieces = [done[clip][:, first : first + windows.num_steps] for clip in batch]
            lengths = torch.tensor([piece.shape[1] for piece in pieces], device=device)
            known = torch.stack([F.pad(piece, (0, windows.num_steps - piece.shape[1])) for piece in pieces])
            frames = (
                torch.zeros(len(batch), windows.num_frames, config.visual_dim)
                if visual is None
                else torch.stack(
                    [_frames(visual[clip], windows.first_frame(index), windows.num_frames) for clip in batch]
                )
            )
            conditioned = _Conditioned(
                model,
                given=known[:, :num_given],
                visual=frames.to(device),
                is_valid=torch.arange(windows.num_steps, device=device) < lengths[:, None],
                is_blind=visual is None,
            )
            filled = decode_iteratively(
                guide(conditioned, options.cfg_scale),
                known[:, num_given:],
                known[:, num_given:] == config.mask_token_id,
                mask_token_id=config.mask_token_id,
                options=options,
                generators=[generators[clip] for clip in batch],
            )
            for row, piece in enumerate(pieces):
                piece[num_given:] = filled[row, :, : piece.shape[1]]  # a view of what is done
            if on_window:
                on_window(len(batch))
    return [each.cpu() for each in done]


@dataclass(frozen=True)
class _Conditioned:
    """A model with its conditions bound in, for guidance to call with one batch or with the same batch twice over."""

    model: Any
    given: Int[Tensor, "B G S"]
    visual: Float[Tensor, "B F E"]
    is_valid: Bool[Tensor, "B S"]
    is_blind: bool

    def __call__(self, codes: Int[Tensor, "N K S"], is_dropped: Bool[Tensor, " N"]) -> Tensor:
        times = len(codes) // len(self.visual)
        return self.model(
            torch.cat([self.given.repeat(times, 1, 1), codes], dim=1),
            self.visual.repeat(times, 1, 1),
            is_dropped=is_dropped | self.is_blind,
            is_valid=self.is_valid.repeat(times, 1),
        )


def _frames(visual: Tensor, start: int, length: int) -> Tensor:
    """Frames [start, start + length), the last frame repeated past the end."""
    index = torch.arange(start, start + length).clamp(max=len(visual) - 1)
    return visual[index.to(visual.device)]
