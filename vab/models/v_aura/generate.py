"""Codes for frames of any length by a sliding window, and the codec that makes them heard (section III.C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from typing_extensions import override

from vab.decoding.autoregressive import NextLogits, decode_columns
from vab.decoding.guidance import branches
from vab.decoding.options import AutoregressiveOptions
from vab.decoding.patterns import Pattern
from vab.models.coded import CodeGenerator
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

    Each later window keeps what the one before left in their overlap and goes on from there. Lengths are codec steps.
    Without ``is_cached`` keys and values are not kept: the codes are the same, the time is not. The rest is as
    ``decode_in_windows`` has it.
    """
    config, size = model.config, windows.num_steps
    device = model.head.weight.device
    pattern = model.pattern(size)
    dropped = branches(options.cfg_scale)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    done = [
        torch.zeros(config.num_codebooks, windows.num_covered(length), dtype=torch.long) for length in lengths
    ]
    for index, batch in windows.batches(lengths, batch_size):
        begin = windows.first("codes", index)
        known = windows.first("codes", index - 1) + size - begin if index else 0
        frames, is_valid = {}, {}
        for name in config.conditions:
            streams = [conditions[clip][name] for clip in batch]
            seen, is_seen = _frames(streams, windows.first(name, index), windows.length(name))
            frames[name] = seen.repeat(len(dropped), 1, 1).to(device)
            is_valid[name] = is_seen.repeat(len(dropped), 1).to(device)
        condition = model.condition(
            frames,
            pattern,
            is_dropped=torch.tensor(dropped, device=device).repeat_interleave(len(batch)),
            is_valid=is_valid,
        )
        pieces = [done[clip][:, begin : begin + size] for clip in batch]  # views
        written = decode_columns(
            _next_logits(model, condition, pattern, is_cached),
            torch.stack(pieces).to(device),
            known,
            min(size, max(lengths[clip] for clip in batch) - begin),
            pattern,
            pad_token_id=config.pad_token_id,
            options=options,
            generators=[generators[clip] for clip in batch],
            is_cached=is_cached,
        )
        for piece, each in zip(pieces, written.cpu(), strict=True):
            piece[:] = each
        if on_window:
            on_window(len(batch))
    return [codes[:, :length] for codes, length in zip(done, lengths, strict=True)]


class VAURAGenerator(CodeGenerator):
    """A generator whose windows move on by as much as the options say."""

    generate_codes = staticmethod(generate_codes)

    @override
    def windows_for(self, options: AutoregressiveOptions) -> Windows:
        stride, window = options.stride_seconds, self.card.window_seconds
        if stride is None:
            return self.windows
        if stride >= window:
            raise ValueError(f"stride_seconds {stride:g} must be less than the window's {window:g} s")
        return self.windows_of(window - stride)


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
