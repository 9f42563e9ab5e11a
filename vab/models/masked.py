"""Conditions to sound for any model of masked codes: codes by iterative decoding in windows, then the codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from vab.codecs.base import Codec
from vab.codecs.sound import CodedSound, coded_sounds, steps_of
from vab.decoding.in_windows import decode_in_windows
from vab.decoding.options import DecodingOptions
from vab.models.files import ModelCard
from vab.shapes import Int, Tensor
from vab.windows import Windows


def generate_codes(
    model: Any,
    conditions: Sequence[Mapping[str, Tensor]],
    lengths: Sequence[int],
    *,
    windows: Windows,
    options: DecodingOptions,
    seeds: Sequence[int],
    batch_size: int = 8,
    on_window: Callable[[int], None] | None = None,
) -> list[Int[Tensor, "K _"]]:
    """Codes for each clip, of any lengths, from nothing but [MASK].

    A clip shorter than its windows is generated to their end, which is the length that the model was trained on, and
    then cut.

    Args:
        model: as ``decode_in_windows`` has it, on the device to run on.
        conditions: of each clip its features by stream, at the model's rates.
        lengths: S, codec steps wanted of each clip.
        windows: how long clips are cut.
        options: of the decoding.
        seeds: one a clip; a clip's result depends on its own seed alone.
        batch_size: clips a model pass.
        on_window: called with the number of windows finished, for a progress bar.
    """
    config = model.config
    nothing = [
        torch.full((config.num_codebooks, windows.num_covered(length)), config.mask_token_id)
        for length in lengths
    ]
    filled = decode_in_windows(
        model,
        nothing,
        conditions,
        windows=windows,
        options=options,
        seeds=seeds,
        batch_size=batch_size,
        on_window=on_window,
    )
    return [codes[:, :length] for codes, length in zip(filled, lengths, strict=True)]


class MaskedGenerator:
    """What ``vab generate`` needs of a model of masked codes (``vab/models/base.py``)."""

    def __init__(self, model: Any, card: ModelCard, components: Mapping[str, Any]) -> None:
        self.model = model
        self.codec: Codec = components["codes"]
        self.sample_rate = self.codec.sample_rate
        self.condition_rates = {name: size.rate for name, size in model.config.conditions.items()}
        rates = {"codes": model.config.frame_rate, **self.condition_rates}
        self.windows = Windows.of(rates, card.window_seconds, card.overlap_seconds)

    def num_windows(self, seconds: float) -> int:
        """Windows that a clip of this length takes."""
        return self.windows.count(steps_of(self.codec, seconds))

    def generate(
        self,
        conditions: Sequence[Mapping[str, Tensor]],
        seconds: Sequence[float],
        *,
        options: DecodingOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> list[CodedSound]:
        """A sound for each clip; see ``generate_codes``."""
        all_codes = generate_codes(
            self.model,
            conditions,
            [steps_of(self.codec, length) for length in seconds],
            windows=self.windows,
            options=options,
            seeds=seeds,
            batch_size=batch_size,
            on_window=on_window,
        )
        return coded_sounds(all_codes, self.codec, seconds)
