"""Codes of any length by windows that overlap (appendix E for lengths), for any model of codes and conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from vab.decoding.guidance import LogitsOf, branches, guide
from vab.decoding.iterative import decode_iteratively
from vab.decoding.options import DecodingOptions
from vab.decoding.replay import replayed
from vab.shapes import Float, Int, Tensor
from vab.windows import Windows


def decode_in_windows(
    model: Any,
    codes: Sequence[Int[Tensor, "K _"]],
    conditions: Sequence[Mapping[str, Tensor]] | None,
    *,
    windows: Windows,
    options: DecodingOptions,
    seeds: Sequence[int],
    batch_size: int = 8,
    on_window: Callable[[int], None] | None = None,
) -> list[Int[Tensor, "K _"]]:
    """Fill in every [MASK] of each clip's codes, clips of any lengths in batches; the result is on the CPU.

    Whatever is no [MASK] is a prompt and stays. So each later window takes over what the one before it left in their
    overlap, and the seam is the model's own. Past a condition's last step that step repeats; past the last codec step
    nothing is attended to.

    Args:
        model: on the device to run on: ``model.predict(codes, model.condition(conditions, S, is_dropped=, is_valid=))``
            gives logits of the codebooks that are not given; ``model.config`` has ``num_given_codebooks``,
            ``mask_token_id`` and ``conditions``, a ``StreamSize`` for each stream.
        codes: a tensor a clip.
        conditions: of each clip its features by stream, at the model's rates; None = there are none, and so no
            guidance.
        windows: how long clips are cut.
        options: of the decoding.
        seeds: one a clip; a clip's result depends on its own seed alone, not on its batch.
        batch_size: clips a model pass.
        on_window: called with the number of windows finished.
    """
    device = next(model.parameters()).device
    config, size = model.config, windows.num_steps
    cfg_scale = options.cfg_scale
    if conditions is None:
        cfg_scale = 0.0
        nothing = {name: torch.zeros(1, stream.width) for name, stream in config.conditions.items()}
        conditions = [nothing] * len(codes)
    dropped = branches(cfg_scale)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    done = [each.to(device, copy=True) for each in codes]
    for index, batch in windows.batches([each.shape[1] for each in done], batch_size):
        first = windows.first("codes", index)
        pieces = [done[clip][:, first : first + size] for clip in batch]  # views
        known = torch.stack([F.pad(piece, (0, size - piece.shape[1])) for piece in pieces])
        lengths = torch.tensor([piece.shape[1] for piece in pieces], device=device)
        is_valid = torch.arange(size, device=device) < lengths[:, None]
        seen = {}
        for name in config.conditions:
            where = windows.first(name, index), windows.length(name)
            steps = torch.stack([take_steps(conditions[clip][name], *where) for clip in batch])
            seen[name] = steps.to(device).repeat(len(dropped), 1, 1)
        # Prepared once a window, for all branches of guidance one after the other.
        condition = model.condition(
            seen,
            size,
            is_dropped=torch.tensor(dropped, device=device).repeat_interleave(len(batch)),
            is_valid={"codes": is_valid.repeat(len(dropped), 1)},
        )
        given, wanted = known.tensor_split([config.num_given_codebooks], dim=1)
        filled = decode_iteratively(
            guide(_bound(model, given, condition), cfg_scale),
            wanted,
            wanted == config.mask_token_id,
            mask_token_id=config.mask_token_id,
            options=options,
            generators=[generators[clip] for clip in batch],
            prepare=partial(replayed, model=model, condition=(given, condition), cfg_scale=cfg_scale)
            if device.type == "cuda"
            else None,
        )
        for each, piece in zip(filled, pieces, strict=True):
            piece[config.num_given_codebooks :] = each[:, : piece.shape[1]]
        if on_window:
            on_window(len(batch))
    return [each.cpu() for each in done]


def _bound(model: Any, given: Int[Tensor, "B G S"], condition: Any) -> LogitsOf:
    """The model with the codebooks that are given and the condition."""

    def logits_of(codes: Int[Tensor, "N K S"]) -> Tensor:
        times = len(codes) // len(given)
        return model.predict(torch.cat([given.repeat(times, 1, 1), codes], dim=1), condition)

    return logits_of


def take_steps(stream: Float[Tensor, "_ ..."], start: int, length: int) -> Float[Tensor, "length ..."]:
    """Steps [start, start + length), the last one repeated past the end."""
    index = torch.arange(start, start + length).clamp(max=len(stream) - 1)
    return stream[index.to(stream.device)]
