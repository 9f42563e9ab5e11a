"""Autoregressive decoding: one column of codes after another, guided, from a cache (V-AURA, section III.C)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from vab.decoding.guidance import branches, combine
from vab.decoding.iterative import sample_tokens
from vab.decoding.options import AutoregressiveOptions
from vab.decoding.patterns import PAD, Pattern
from vab.shapes import Float, Int, Tensor

NextLogits = Callable[[Int[Tensor, "N K T"], int], Tensor]
"""Columns [N, K, T] that stand before those to predict, the first of them being number ``first`` of all, to the logits
[N, K, V] of the column after the last; called with all columns at first, then, if it has a cache, with one by one."""


def choose_tokens(
    logits: Float[Tensor, "B K V"], uniform: Float[Tensor, "B K"], options: AutoregressiveOptions
) -> Int[Tensor, "B K"]:
    """Draw each token by one uniform number, or take the likeliest where ``temperature`` is 0."""
    if options.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits.float() / options.temperature
    if 0 < options.top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(options.top_k).values[..., -1:], -torch.inf)
    if options.top_p < 1:
        ordered = logits.softmax(dim=-1).sort(dim=-1, descending=True)
        # A token stays if those before it have less than the share: the likeliest always does.
        is_out = ordered.values.cumsum(dim=-1) - ordered.values >= options.top_p
        logits = logits.masked_fill(is_out.gather(-1, ordered.indices.argsort(dim=-1)), -torch.inf)
    return sample_tokens(logits, uniform)[0]


@torch.inference_mode()
def decode_columns(
    next_logits: NextLogits,
    codes: Int[Tensor, "B K S"],
    num_known: int,
    num_wanted: int,
    pattern: Pattern,
    *,
    pad_token_id: int,
    options: AutoregressiveOptions,
    generators: Sequence[torch.Generator],
    is_cached: bool = True,
) -> Int[Tensor, "B K S"]:
    """Write the codes from step ``num_known`` on; the loop never waits for the host.

    Args:
        next_logits: the model with the conditions of all branches of guidance bound in, one branch after the other, and
            its caches.
        codes: a prompt of ``num_known`` steps; what follows does not matter.
        num_known: steps that stay as they are.
        num_wanted: steps that are written, at least; steps beyond may stay undefined.
        pattern: of the S steps.
        pad_token_id: V, which stands where a column has no code of a codebook, and before the first column.
        options: of the sampling; ``stride_seconds`` is the business of who cuts windows.
        generators: one CPU generator a clip, so that a clip's result depends neither on its batch nor on the device. It
            gives one number a token of all steps that are not known, wanted or not.
        is_cached: whether ``next_logits`` remembers; if not, it is given all columns each time.
    """
    device, size = codes.device, codes.shape[2]
    shape = (codes.shape[1], size - num_known)
    drawn = torch.stack([torch.rand(shape, generator=generator) for generator in generators])
    uniforms = pattern.lay(F.pad(drawn, (num_known, 0)).to(device), 0)
    laid = pattern.lay(codes, pad_token_id)
    is_unknown = ((pattern.steps >= num_known) & (pattern.steps != PAD)).to(device)
    is_wanted = ((pattern.steps >= num_known) & (pattern.steps < num_wanted)).any(dim=0)
    columns = is_wanted.nonzero().flatten().tolist()
    before = F.pad(laid, (1, 0), value=pad_token_id)
    times = len(branches(options.cfg_scale))
    seen = 0
    for column in range(columns[0], columns[-1] + 1) if columns else ():
        logits = next_logits(before[:, :, seen : column + 1].repeat(times, 1, 1), seen)
        tokens = choose_tokens(combine(logits, options.cfg_scale), uniforms[:, :, column], options)
        before[:, :, column + 1] = torch.where(is_unknown[:, column], tokens, laid[:, :, column])
        seen = column + 1 if is_cached else 0
    return pattern.gather(before[:, :, 1:])
