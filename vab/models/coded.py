"""Conditions to sound for any model of codes: codes in windows, then the codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from vab.codecs.base import Codec
from vab.codecs.sound import CodedSound, coded_sounds, steps_of
from vab.models.files import ModelCard
from vab.shapes import Tensor
from vab.windows import Windows


class CodeGenerator:
    """What ``vab generate`` needs of a model of codes (``vab/models/base.py``); a subclass names ``generate_codes``."""

    generate_codes: ClassVar[Callable[..., list[Tensor]]]

    def __init__(self, model: Any, card: ModelCard, components: Mapping[str, Any]) -> None:
        self.model = model
        self.card = card
        self.codec: Codec = components["codes"]
        self.sample_rate = self.codec.sample_rate
        self.condition_rates = {name: size.rate for name, size in model.config.conditions.items()}
        self.windows = self.windows_of(card.overlap_seconds)

    def windows_of(self, overlap_seconds: float) -> Windows:
        """Windows as long as the model was trained on."""
        rates = {"codes": self.model.config.frame_rate, **self.condition_rates}
        return Windows.of(rates, self.card.window_seconds, overlap_seconds)

    def windows_for(self, options: Any) -> Windows:
        """What these options ask for; as the card has them unless a subclass says otherwise."""
        return self.windows

    def num_windows(self, seconds: float) -> int:
        """Windows that a clip of this length takes, as the card has them."""
        return self.windows.count(steps_of(self.codec, seconds))

    def generate(
        self,
        conditions: Sequence[Mapping[str, Tensor]],
        seconds: Sequence[float],
        *,
        options: Any,
        **batching: Any,
    ) -> list[CodedSound]:
        """A sound for each clip; ``batching`` is ``seeds``, ``batch_size`` and ``on_window``."""
        lengths, windows = [steps_of(self.codec, length) for length in seconds], self.windows_for(options)
        codes = self.generate_codes(
            self.model, conditions, lengths, windows=windows, options=options, **batching
        )
        return coded_sounds(codes, self.codec, seconds)
