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
from vab.shapes import Int, Tensor
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
        on_window: called with the number of windows finished, for a progress bar.
    """
    device = next(model.parameters()).device
    config = model.config
    cfg_scale = options.cfg_scale if conditions is not None else 0.0
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
            seen = {
                name: torch.zeros(len(batch), windows.length(name), size.width)
                if conditions is None
                else torch.stack(
                    [
                        _steps(conditions[clip][name], windows.first(name, index), windows.length(name))
                        for clip in batch
                    ]
                )
                for name, size in config.conditions.items()
            }
            condition = _condition(
                model,
                {name: each.to(device) for name, each in seen.items()},
                lengths,
                windows.num_steps,
                branches(cfg_scale),
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
            for row, piece in enumerate(pieces):
                piece[config.num_given_codebooks :] = filled[
                    row, :, : piece.shape[1]
                ]  # a view of what is done
            if on_window:
                on_window(len(batch))
    return [each.cpu() for each in done]


def _condition(
    model: Any, conditions: Mapping[str, Tensor], lengths: Tensor, num_steps: int, dropped: Sequence[bool]
) -> Any:
    """Prepared once a window, for all branches of guidance one after the other."""
    is_dropped = torch.tensor(dropped, device=lengths.device).repeat_interleave(len(lengths))
    is_valid = torch.arange(num_steps, device=lengths.device) < lengths[:, None]
    times = len(dropped)
    return model.condition(
        {name: each.repeat(times, 1, 1) for name, each in conditions.items()},
        num_steps,
        is_dropped=is_dropped,
        is_valid={"codes": is_valid.repeat(times, 1)},
    )


def _bound(model: Any, given: Int[Tensor, "B G S"], condition: Any) -> LogitsOf:
    """The model with the codebooks that are given and the condition."""

    def logits_of(codes: Int[Tensor, "N K S"]) -> Tensor:
        times = len(codes) // len(given)
        return model.predict(torch.cat([given.repeat(times, 1, 1), codes], dim=1), condition)

    return logits_of


def _steps(stream: Tensor, start: int, length: int) -> Tensor:
    """Steps [start, start + length), the last one repeated past the end."""
    index = torch.arange(start, start + length).clamp(max=len(stream) - 1)
    return stream[index.to(stream.device)]
