"""Coarse codes of any length to all levels, with or without frames (paper section 3.3, second stage)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from vab.decoding.options import DecodingOptions
from vab.decoding.windows import Windows, decode_in_windows
from vab.models.coarse_to_fine.model import CoarseToFine
from vab.models.files import ModelCard
from vab.shapes import Float, Int, Tensor


class CoarseToFineRefiner:
    """Fills in the fine levels by iterative decoding in windows (``vab/models/base.py``)."""

    def __init__(self, model: CoarseToFine, card: ModelCard) -> None:
        self.model = model
        self.num_coarse_codebooks = model.config.num_coarse_codebooks
        self.num_codebooks = model.config.num_codebooks
        self.visual_fps = model.config.visual_fps
        self.decoding = card.decoding
        self.windows = Windows.of(model.config, card.window_seconds, card.overlap_seconds)

    def num_windows(self, num_steps: int) -> int:
        """Windows that codes of this length take."""
        return self.windows.count(num_steps)

    def refine(
        self,
        codes: Sequence[Int[Tensor, "coarse _"]],
        visual: Sequence[Float[Tensor, "_ E"]] | None,
        *,
        options: DecodingOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> list[Int[Tensor, "K _"]]:
        """All levels of each clip; the coarse ones stay as they are."""
        config = self.model.config
        hidden = [
            torch.full((config.num_fine_codebooks, each.shape[1]), config.mask_token_id) for each in codes
        ]
        return decode_in_windows(
            self.model,
            [
                torch.cat([each[: config.num_coarse_codebooks].cpu(), fine])
                for each, fine in zip(codes, hidden, strict=True)
            ],
            visual,
            windows=self.windows,
            options=options,
            seeds=seeds,
            num_given=config.num_coarse_codebooks,
            batch_size=batch_size,
            on_window=on_window,
        )
