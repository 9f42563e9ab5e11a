"""Parallel iterative decoding: predict every hidden token, keep the surest, hide the rest again (section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vab.decoding.guidance import LogitsOf
from vab.decoding.options import DecodingOptions
from vab.masking.draw import hide
from vab.masking.schedule import num_hidden_after
from vab.shapes import Bool, Float, Int, Tensor


def gumbel(shape: Sequence[int], *, generators: Sequence[torch.Generator]) -> Tensor:
    """Gumbel noise [B, *shape] in float32, each clip from its own generator.

    Uniforms are kept off 0 and 1, where the noise would be infinite.
    """
    uniform = torch.stack([torch.rand(*shape, generator=generator) for generator in generators])
    return -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))


def sample_tokens(
    logits: Float[Tensor, "B K S V"], *, generators: Sequence[torch.Generator]
) -> tuple[Int[Tensor, "B K S"], Float[Tensor, "B K S"]]:
    """Draw each token from its distribution; return it with its log-probability under that distribution."""
    noise = gumbel(logits.shape[1:], generators=generators).to(logits.device)
    tokens = (logits + noise).argmax(dim=-1)
    log_probability = logits.log_softmax(dim=-1).gather(-1, tokens[..., None]).squeeze(-1)
    return tokens, log_probability


def least_confident(
    confidence: Float[Tensor, "B K S"], num_hidden: Int[Tensor, " B"]
) -> Bool[Tensor, "B K S"]:
    """The ``num_hidden`` tokens of lowest confidence of each clip, by rank so that ties never miscount."""
    rank = confidence.flatten(1).argsort(dim=1, stable=True).argsort(dim=1)
    return (rank < num_hidden[:, None]).view_as(confidence)


@torch.inference_mode()
def decode_iteratively(
    logits_of: LogitsOf,
    codes: Int[Tensor, "B K S"],
    is_masked: Bool[Tensor, "B K S"],
    *,
    mask_token_id: int,
    options: DecodingOptions,
    generators: Sequence[torch.Generator],
) -> Int[Tensor, "B K S"]:
    """Fill in the hidden tokens in ``options.num_steps`` model passes (paper section 3.3, equation 2).

    Tokens that are not hidden at the start are a prompt: they never change and are not counted by the schedule.
    After step t exactly floor(N cos(pi/2 (t+1)/T)) tokens stay hidden, and at least one fewer than before.

    Args:
        logits_of: the model with its condition and guidance bound in.
        codes: values under ``is_masked`` do not matter.
        is_masked: True = to decode.
        mask_token_id: V, the [MASK] row.
        options: steps and confidence temperature; ``cfg_scale`` is the business of ``guide``.
        generators: one CPU generator a clip, so that a clip's result depends neither on its batch nor on the device.

    Returns:
        Codes without a [MASK] left.
    """
    num_to_decode = is_masked.flatten(1).sum(dim=1)
    num_hidden = num_to_decode
    for step in range(options.num_steps):
        if not num_hidden.any():
            break
        logits = logits_of(hide(codes, is_masked, mask_token_id)).float()
        tokens, confidence = sample_tokens(logits, generators=generators)
        codes = torch.where(is_masked, tokens, codes)

        progress = (step + 1) / options.num_steps
        noise = gumbel(codes.shape[1:], generators=generators).to(codes.device)
        confidence = confidence + options.temperature * (1 - progress) * noise
        confidence = confidence.masked_fill(~is_masked, torch.inf)
        num_hidden = torch.minimum(
            num_hidden_after(step, options.num_steps, num_to_decode), (num_hidden - 1).clamp_min(0)
        )
        is_masked = least_confident(confidence, num_hidden)
    return codes
