"""Coarse codes of any length to all codebooks, with or without frames (paper section 3.3, second stage)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from vab.decoding.in_windows import decode_in_windows
from vab.decoding.options import DecodingOptions
from vab.errors import WeightsError
from vab.models.files import ModelCard
from vab.models.vab.model import VAB
from vab.shapes import Int, Tensor
from vab.windows import Windows


class VABRefiner:
    """Fills in the codebooks that are not given by iterative decoding in windows (``vab/models/base.py``)."""

    def __init__(self, model: VAB, card: ModelCard) -> None:
        """Take a model that was trained with given codebooks.

        Raises:
            WeightsError: it was not.
        """
        if not model.config.num_given_codebooks:
            raise WeightsError(
                "a model without given codebooks refines nothing: its num_given_codebooks is 0"
            )
        self.model = model
        self.num_coarse_codebooks = model.config.num_given_codebooks
        self.num_codebooks = model.config.num_codebooks
        self.condition_rates = {"clip": model.config.visual_fps}
        self.sampling = card.sampling_options()
        self.windows = Windows.of(model.config.streams, card.window_seconds, card.overlap_seconds)

    def num_windows(self, num_steps: int) -> int:
        """Windows that codes of this length take."""
        return self.windows.count(num_steps)

    def refine(
        self,
        codes: Sequence[Int[Tensor, "coarse _"]],
        conditions: Sequence[Mapping[str, Tensor]] | None,
        *,
        options: DecodingOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> list[Int[Tensor, "K _"]]:
        """All codebooks of each clip; the given ones stay as they are."""
        config = self.model.config
        masked = [
            torch.full((config.num_predicted_codebooks, each.shape[1]), config.mask_token_id)
            for each in codes
        ]
        return decode_in_windows(
            self.model,
            [
                torch.cat([each[: config.num_given_codebooks].cpu(), fine])
                for each, fine in zip(codes, masked, strict=True)
            ],
            conditions,
            windows=self.windows,
            options=options,
            seeds=seeds,
            batch_size=batch_size,
            on_window=on_window,
        )
