"""Conditions to sound for any model of masked codes: codes by iterative decoding in windows, then the codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vab.decoding.in_windows import decode_in_windows
from vab.errors import WeightsError
from vab.models.coded import CodeGenerator
from vab.models.files import ModelCard
from vab.shapes import Int, Tensor
from vab.windows import Windows


def generate_codes(
    model: Any,
    conditions: Sequence[Mapping[str, Tensor]],
    lengths: Sequence[int],
    *,
    windows: Windows,
    **decoding: Any,
) -> list[Int[Tensor, "K _"]]:
    """Codes of ``lengths`` steps for each clip, from nothing but [MASK]; the rest is as ``decode_in_windows`` has it.

    A clip shorter than its windows is generated to their end, which is the length that the model was trained on, and
    then cut.
    """
    shapes = [(model.config.num_codebooks, windows.num_covered(length)) for length in lengths]
    nothing = [torch.full(shape, model.config.mask_token_id) for shape in shapes]
    filled = decode_in_windows(model, nothing, conditions, windows=windows, **decoding)
    return [codes[:, :length] for codes, length in zip(filled, lengths, strict=True)]


class MaskedGenerator(CodeGenerator):
    """A generator of a model without given codebooks."""

    generate_codes = staticmethod(generate_codes)

    def __init__(self, model: Any, card: ModelCard, components: Mapping[str, Any]) -> None:
        if model.config.num_given_codebooks:
            raise WeightsError(
                "a model with given codebooks refines and does not generate: train a 'vab-refiner'"
            )
        super().__init__(model, card, components)
