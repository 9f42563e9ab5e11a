"""The doors for generators and refiners; how they get where they get is theirs.

A generator has features of frames in, sound out. VAB and MaskVAT have codes on the way, TiVA has none: so the contract
ends at sound, not at codes. A refiner has a codec's first levels in, all levels out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from vab.decoding.options import DecodingOptions
from vab.shapes import Float, Int, Tensor


@runtime_checkable
class Sound(Protocol):
    """A generated sound, computed when asked for."""

    sample_rate: int
    num_samples: int
    """L, exact."""

    def pieces(self) -> Iterator[Float[Tensor, "1 l"]]:
        """The sound in consecutive pieces, on the CPU: an hour needs no more memory than a minute."""
        ...


@runtime_checkable
class SoundGenerator(Protocol):
    """What ``vab generate`` needs of a model; a model's folder names its class in ``GENERATOR``.

    It is built as ``GENERATOR(model, card, codec)``.
    """

    sample_rate: int
    visual_fps: float
    """Rate of the frame features it takes."""

    def num_windows(self, seconds: float) -> int:
        """Passes that a clip of this length takes, for a progress bar."""
        ...

    def generate(
        self,
        visual: Sequence[Float[Tensor, "_ E"]],
        seconds: Sequence[float],
        *,
        options: DecodingOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> Sequence[Sound]:
        """A sound of ``seconds`` for each clip's features, one seed a clip.

        Args:
            visual: features at ``visual_fps``, a tensor a clip, any lengths.
            seconds: length of each sound.
            options: of the decoding.
            seeds: a clip's sound depends on its own seed alone, not on its batch.
            batch_size: clips a model pass.
            on_window: called with the number of windows finished.
        """
        ...


@runtime_checkable
class CodeRefiner(Protocol):
    """What completes coarse codes; a model's folder names its class in ``REFINER``.

    It is built as ``REFINER(model, card)``.
    """

    num_coarse_codebooks: int
    """Levels it takes."""
    num_codebooks: int
    """K, levels it gives."""
    visual_fps: float
    """Rate of the frame features it takes."""
    decoding: DecodingOptions
    """How its weights like to be decoded."""

    def num_windows(self, num_steps: int) -> int:
        """Passes that codes of this length take, for a progress bar."""
        ...

    def refine(
        self,
        codes: Sequence[Int[Tensor, "coarse _"]],
        visual: Sequence[Float[Tensor, "_ E"]] | None,
        *,
        options: DecodingOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> Sequence[Int[Tensor, "K _"]]:
        """All levels of each clip's codes; the coarse ones stay as they are.

        Args:
            codes: a tensor a clip, any lengths; levels beyond ``num_coarse_codebooks`` are passed over.
            visual: features at ``visual_fps``, a tensor a clip; None = sound without pictures.
            options: of the decoding.
            seeds: a clip's codes depend on its own seed alone, not on its batch.
            batch_size: clips a model pass.
            on_window: called with the number of windows finished.
        """
        ...
