"""Parallel iterative decoding: predict every masked token, keep the surest, mask the rest again (section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from vab.decoding.guidance import LogitsOf
from vab.decoding.masks import mask_out, masking_schedule
from vab.decoding.options import DecodingOptions
from vab.decoding.replay import Step
from vab.shapes import Bool, Float, Int, Tensor


def gumbel(uniform: Tensor) -> Tensor:
    """Gumbel noise of uniform numbers, which are kept off 0 and 1, where it would be infinite."""
    return -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))


def sample_tokens(
    logits: Float[Tensor, "*places V"], uniform: Float[Tensor, "*places"]
) -> tuple[Int[Tensor, "*places"], Float[Tensor, "*places"]]:
    """Draw each token from its distribution with one uniform number; return it with its log-probability.

    The token is where the cumulative distribution passes the number. A token of probability 0 is never drawn.
    """
    log_probability = logits.log_softmax(dim=-1)
    cumulative = log_probability.exp().cumsum(dim=-1)
    # Off the total by more than its rounding: the number must fall below the last token that has a probability.
    threshold = uniform[..., None] * (1 - 1e-6) * cumulative[..., -1:]
    tokens = torch.searchsorted(cumulative, threshold, right=True)
    return tokens.squeeze(-1), log_probability.gather(-1, tokens).squeeze(-1)


def least_confident(
    confidence: Float[Tensor, "B K S"], num_masked: Int[Tensor, " B"]
) -> Bool[Tensor, "B K S"]:
    """The ``num_masked`` tokens of lowest confidence of each clip, by rank so that ties never miscount."""
    rank = confidence.flatten(1).argsort(dim=1, stable=True).argsort(dim=1)
    return (rank < num_masked[:, None]).view_as(confidence)


@torch.inference_mode()
def decode_iteratively(
    logits_of: LogitsOf,
    codes: Int[Tensor, "B K S"],
    is_masked: Bool[Tensor, "B K S"],
    *,
    mask_token_id: int,
    options: DecodingOptions,
    generators: Sequence[torch.Generator],
    prepare: Callable[[Step], Step] | None = None,
) -> Int[Tensor, "B K S"]:
    """Fill in the masked tokens in ``options.num_steps`` model passes (paper section 3.3, equation 2).

    Tokens that are not masked at the start are a prompt: they never change and are not counted by the schedule.
    After step t exactly floor(N cos(pi/2 (t+1)/T)) tokens stay masked, and at least one fewer than before. Schedule
    and noise are on the device before the loop, which never waits for the host.

    Args:
        logits_of: the model with its condition and guidance bound in.
        codes: values under ``is_masked`` do not matter.
        is_masked: True = to decode.
        mask_token_id: V, the [MASK] row.
        options: steps and confidence temperature; ``cfg_scale`` is the business of ``guide``.
        generators: one CPU generator a clip, so that a clip's result depends neither on its batch nor on the device.
            A token takes two numbers a step from it: one to be drawn by, one for the noise on its confidence.
        prepare: turns the step, a function of tensors, into one that computes the same faster.

    Returns:
        Codes without a [MASK] left.
    """
    schedule = masking_schedule(options.num_steps, is_masked.flatten(1).sum(dim=1).cpu()).to(codes.device)
    shape = (options.num_steps, 2, *codes.shape[1:])
    uniforms = torch.stack([torch.rand(shape, generator=each) for each in generators], dim=2)
    uniforms = uniforms.to(codes.device)
    progress = (torch.arange(options.num_steps) + 1) / options.num_steps
    noises = (options.temperature * (1 - progress)).to(codes.device)

    def step(
        codes: Tensor, is_masked: Tensor, uniform: Tensor, noise: Tensor, num_masked: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits = logits_of(mask_out(codes, is_masked, mask_token_id)).float()
        tokens, confidence = sample_tokens(logits, uniform[0])
        codes = torch.where(is_masked, tokens, codes)
        confidence = confidence + noise * gumbel(uniform[1])
        return codes, least_confident(confidence.masked_fill(~is_masked, torch.inf), num_masked)

    take = prepare(step) if prepare else step
    for num_masked, uniform, noise in zip(schedule, uniforms, noises, strict=False):
        codes, is_masked = take(codes, is_masked, uniform, noise, num_masked)
    return codes
