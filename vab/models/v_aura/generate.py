"""Codes for frames of any length by a sliding window, and the codec that makes them heard (section III.C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from vab.codecs.base import Codec
from vab.codecs.sound import CodedSound, coded_sounds, steps_of
from vab.decoding.autoregressive import NextLogits, decode_columns
from vab.decoding.guidance import branches
from vab.decoding.options import AutoregressiveOptions
from vab.decoding.patterns import Pattern
from vab.models.files import ModelCard
from vab.models.v_aura.model import VAURA
from vab.shapes import Int, Tensor
from vab.windows import Windows


@torch.inference_mode()
def generate_codes(
    model: VAURA,
    conditions: Sequence[Mapping[str, Tensor]],
    lengths: Sequence[int],
    *,
    windows: Windows,
    options: AutoregressiveOptions,
    seeds: Sequence[int],
    batch_size: int = 8,
    is_cached: bool = True,
    on_window: Callable[[int], None] | None = None,
) -> list[Int[Tensor, "K _"]]:
    """Codes for each clip, of any lengths, on the CPU; memory does not grow with them but for the codes themselves.

    Each later window keeps what the one before left in their overlap and goes on from there.

    Args:
        model: on the device to run on.
        conditions: of each clip its features by stream, at the rates of ``model.config.conditions``.
        lengths: S, codec steps wanted of each clip.
        windows: the context, and by how much it moves on.
        options: of the sampling.
        seeds: one a clip; a clip's result depends on its own seed alone.
        batch_size: clips a model pass.
        is_cached: whether keys and values are kept; the codes are the same, the time is not.
        on_window: called with the number of windows finished.
    """
    config = model.config
    device = model.head.weight.device
    pattern = model.pattern(windows.num_steps)
    dropped = branches(options.cfg_scale)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    done = [
        torch.zeros(config.num_codebooks, windows.num_covered(length), dtype=torch.long) for length in lengths
    ]
    counts = [windows.count(length) for length in lengths]
    for index in range(max(counts, default=0)):
        begin = windows.first_step(index)
        known = windows.first_step(index - 1) + windows.num_steps - begin if index else 0
        active = [clip for clip, count in enumerate(counts) if index < count]
        for start in range(0, len(active), batch_size):
            batch = active[start : start + batch_size]
            frames, is_valid = {}, {}
            for name in config.conditions:
                seen, is_seen = _frames(
                    [conditions[clip][name] for clip in batch],
                    windows.first(name, index),
                    windows.length(name),
                )
                frames[name] = seen.repeat(len(dropped), 1, 1).to(device)
                is_valid[name] = is_seen.repeat(len(dropped), 1).to(device)
            condition = model.condition(
                frames,
                pattern,
                is_dropped=torch.tensor(dropped, device=device).repeat_interleave(len(batch)),
                is_valid=is_valid,
            )
            codes = torch.stack([done[clip][:, begin : begin + windows.num_steps] for clip in batch])
            written = decode_columns(
                _next_logits(model, condition, pattern, is_cached),
                codes.to(device),
                known,
                min(windows.num_steps, max(lengths[clip] for clip in batch) - begin),
                pattern,
                pad_token_id=config.pad_token_id,
                options=options,
                generators=[generators[clip] for clip in batch],
                is_cached=is_cached,
            ).cpu()
            for clip, each in zip(batch, written, strict=True):
                done[clip][:, begin : begin + windows.num_steps] = each
            if on_window:
                on_window(len(batch))
    return [codes[:, :length] for codes, length in zip(done, lengths, strict=True)]


class VAURAGenerator:
    """Frame features to sound: codes by a sliding window, sound by the codec (``vab/models/base.py``)."""

    def __init__(self, model: VAURA, card: ModelCard, components: Mapping[str, Any]) -> None:
        self.model = model
        self.card = card
        self.codec: Codec = components["codes"]
        self.sample_rate = self.codec.sample_rate
        self.condition_rates = {name: size.rate for name, size in model.config.conditions.items()}

    def num_windows(self, seconds: float) -> int:
        """Windows that a clip of this length takes, as the weights have them."""
        return self._windows(None).count(steps_of(self.codec, seconds))

    def generate(
        self,
        conditions: Sequence[Mapping[str, Tensor]],
        seconds: Sequence[float],
        *,
        options: AutoregressiveOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> list[CodedSound]:
        """A sound for each clip; see ``generate_codes``.

        Raises:
            ValueError: a stride as long as the window or longer, or shorter than what streams can move by.
        """
        all_codes = generate_codes(
            self.model,
            conditions,
            [steps_of(self.codec, length) for length in seconds],
            windows=self._windows(options.stride_seconds),
            options=options,
            seeds=seeds,
            batch_size=batch_size,
            on_window=on_window,
        )
        return coded_sounds(all_codes, self.codec, seconds)

    def _windows(self, stride: float | None) -> Windows:
        window, overlap = self.card.window_seconds, self.card.overlap_seconds
        if stride is not None:
            if stride >= window:
                raise ValueError(f"stride_seconds {stride:g} must be less than the window's {window:g} s")
            overlap = window - stride
        return Windows.of(self.model.config.streams, window, overlap)


def _next_logits(model: VAURA, condition: Tensor, pattern: Pattern, is_cached: bool) -> NextLogits:
    """The model with its condition, and caches where it is to remember."""
    turns = model.turns(condition, pattern)
    caches = model.make_caches(len(condition), condition, pattern) if is_cached else None

    def next_logits(before: Int[Tensor, "N K T"], first: int) -> Tensor:
        return model.predict(before, condition, turns, first=first, caches=caches)[:, :, -1]

    return next_logits


def _frames(streams: Sequence[Tensor], first: int, count: int) -> tuple[Tensor, Tensor]:
    """A window's frames [B, F, E] and which of them are real, all from one frame on."""
    pieces = [each[first : first + count].float() for each in streams]
    frames = torch.stack([F.pad(piece, (0, 0, 0, count - len(piece))) for piece in pieces])
    lengths = torch.tensor([len(piece) for piece in pieces])
    return frames, torch.arange(count) < lengths[:, None]
