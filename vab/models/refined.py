"""A generator of coarse codes and the refiner that completes them, as one generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from vab.codecs.base import Codec
from vab.codecs.sound import CodedSound
from vab.decoding.options import DecodingOptions
from vab.errors import WeightsError
from vab.models.base import CodeRefiner, SoundGenerator
from vab.shapes import Float, Tensor
from vab.timing import num_samples, num_steps


class RefinedGenerator:
    """Generates, then refines, each clip with the same pictures and the same seed (paper section 3.3)."""

    def __init__(self, generator: SoundGenerator, refiner: CodeRefiner, codec: Codec) -> None:
        """Chain the two.

        Args:
            generator: makes sound of codes.
            refiner: takes its codes.
            codec: of both.

        Raises:
            WeightsError: the two look at different numbers of frames a second.
        """
        if generator.visual_fps != refiner.visual_fps:
            raise WeightsError(
                f"the model takes {generator.visual_fps:g} visual frames a second, its refiner "
                f"{refiner.visual_fps:g}; train both at one rate"
            )
        self.generator = generator
        self.refiner = refiner
        self.codec = codec
        self.sample_rate = generator.sample_rate
        self.visual_fps = generator.visual_fps

    def num_windows(self, seconds: float) -> int:
        """Windows of both stages."""
        steps = num_steps(num_samples(seconds, self.sample_rate), self.codec.hop_length)
        return self.generator.num_windows(seconds) + self.refiner.num_windows(steps)

    def generate(
        self,
        visual: Sequence[Float[Tensor, "_ E"]],
        seconds: Sequence[float],
        *,
        options: DecodingOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> list[CodedSound]:
        """A sound for each clip, in all levels; ``options`` are the generator's, the refiner has its own.

        Where the guidance is 0, so that the pictures are not looked at, the refiner does not see them either.

        Raises:
            WeightsError: the generator makes no codes.
        """
        coarse = []
        for sound in self.generator.generate(
            visual, seconds, options=options, seeds=seeds, batch_size=batch_size, on_window=on_window
        ):
            if not isinstance(sound, CodedSound):
                raise WeightsError("a refiner completes codes, and this model makes sound without codes")
            coarse.append(sound)
        refined = self.refiner.refine(
            [sound.codes for sound in coarse],
            visual if options.cfg_scale else None,
            options=self.refiner.decoding,
            seeds=seeds,
            batch_size=batch_size,
            on_window=on_window,
        )
        return [replace(sound, codes=codes) for sound, codes in zip(coarse, refined, strict=True)]
