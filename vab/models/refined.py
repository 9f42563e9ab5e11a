"""A generator of coarse codes and the refiner that completes them, as one generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vab.codecs.base import Codec
from vab.codecs.sound import CodedSound, steps_of
from vab.errors import WeightsError
from vab.models.base import CodeRefiner, SoundGenerator
from vab.shapes import Tensor


class RefinedGenerator:
    """Generates, then refines, each clip with the same conditions and the same seed (paper section 3.3)."""

    def __init__(self, generator: SoundGenerator, refiner: CodeRefiner, codec: Codec) -> None:
        """Chain the two; a WeightsError where the refiner takes a stream that the generator does not, at its rate."""
        for name, rate in refiner.condition_rates.items():
            if generator.condition_rates.get(name) != rate:
                raise WeightsError(
                    f"the refiner takes {rate:g} steps of {name!r} a second, the model "
                    f"{generator.condition_rates.get(name, 0):g}; train both at one rate"
                )
        self.generator = generator
        self.refiner = refiner
        self.codec = codec
        self.sample_rate = generator.sample_rate
        self.condition_rates = generator.condition_rates

    def num_windows(self, seconds: float) -> int:
        """Windows of both stages."""
        steps = steps_of(self.codec, seconds)
        return self.generator.num_windows(seconds) + self.refiner.num_windows(steps)

    def generate(
        self,
        conditions: Sequence[Mapping[str, Tensor]],
        seconds: Sequence[float],
        *,
        options: Any,
        **batching: Any,
    ) -> list[CodedSound]:
        """A sound for each clip, in all codebooks; ``options`` are the generator's, the refiner has its own.

        Where their ``cfg_scale`` is 0, so that the conditions are not looked at, the refiner does not see them either.

        Raises:
            WeightsError: the generator makes no codes.
        """
        coarse = []
        for sound in self.generator.generate(conditions, seconds, options=options, **batching):
            if not isinstance(sound, CodedSound):
                raise WeightsError("a refiner completes codes, and this model makes sound without codes")
            coarse.append(sound)
        refined = self.refiner.refine(
            [sound.codes for sound in coarse],
            conditions if getattr(options, "cfg_scale", None) != 0 else None,
            options=self.refiner.sampling,
            **batching,
        )
        return [replace(sound, codes=codes) for sound, codes in zip(coarse, refined, strict=True)]
