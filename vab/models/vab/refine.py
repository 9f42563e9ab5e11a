"""Coarse codes of any length to all codebooks, with or without frames (paper section 3.3, second stage)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F

from vab.decoding.in_windows import decode_in_windows
from vab.errors import WeightsError
from vab.models.files import ModelCard
from vab.models.vab.model import VAB
from vab.shapes import Int, Tensor
from vab.windows import Windows


class VABRefiner:
    """Fills in the codebooks that are not given by iterative decoding in windows (``vab/models/base.py``)."""

    def __init__(self, model: VAB, card: ModelCard) -> None:
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
        **decoding: Any,
    ) -> list[Int[Tensor, "K _"]]:
        """All codebooks of each clip; the given ones stay as they are. The rest goes to ``decode_in_windows``."""
        config = self.model.config
        masked = (0, 0, 0, config.num_predicted_codebooks)
        coarse = [
            F.pad(each[: config.num_given_codebooks].cpu(), masked, value=config.mask_token_id)
            for each in codes
        ]
        return decode_in_windows(self.model, coarse, conditions, windows=self.windows, **decoding)
