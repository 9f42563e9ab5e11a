"""What a model's parts must have; how they do what they do is theirs.

A generator has conditions in, sound out. VAB and MaskVAT have codes on the way, TiVA has none: so the contract ends at
sound, not at codes. A refiner has a codec's first codebooks in, all codebooks out. What is trained is
``vab.training.objective.Objective``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from vab.features.info import StreamInfo, StreamSize
from vab.shapes import Float, Int, Tensor


@runtime_checkable
class ModelConfig(Protocol):
    """A model's ``CONFIG``: a frozen dataclass, saved inside the weights.

    One with ``num_codebooks`` reads so many of the stream "codes", coarse first, and not all; one with ``targets`` is
    trained towards the streams of these names, and generates without them.
    """

    @property
    def streams(self) -> Mapping[str, float]:
        """Streams that it is trained on, and at how many steps a second."""

    def problems(self, streams: Mapping[str, StreamInfo]) -> list[str]:
        """What of it does not fit a store's streams, a line each; empty where all does."""


@runtime_checkable
class TrainableModel(Protocol):
    """A ``MODEL`` that takes something over from its components before training, such as a codec's codebooks."""

    def start_from(self, components: Mapping[str, Any]) -> None:
        """Called once, before the first step.

        Args:
            components: by stream, those that make audio, such as the codec under "codes".

        Raises:
            ValueError: one does not fit the configuration.
        """


@runtime_checkable
class Sound(Protocol):
    """A generated sound, computed when asked for."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""

    @property
    def num_samples(self) -> int:
        """L, exact."""

    def pieces(self) -> Iterator[Float[Tensor, "1 l"]]:
        """The sound in consecutive pieces, on the CPU: an hour needs no more memory than a minute."""


@runtime_checkable
class SoundGenerator(Protocol):
    """What ``vab generate`` needs of a model; a model's folder names its class in ``GENERATOR``.

    It is built as ``GENERATOR(model, card, components)``: the network, what its weights file says of it, and the loaded
    components by the names that they have in the card ("codes": a codec, "clip": a visual encoder). In training, of
    which samples are logged, the components are those that make audio.
    """

    sample_rate: int
    condition_rates: Mapping[str, float]
    """Streams that it takes, and at how many steps a second."""

    def num_windows(self, seconds: float) -> int:
        """Passes that a clip of this length takes, for a progress bar."""

    def generate(
        self,
        conditions: Sequence[Mapping[str, Tensor]],
        seconds: Sequence[float],
        *,
        options: Any,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> Sequence[Sound]:
        """A sound of ``seconds`` for each clip, one seed a clip.

        Args:
            conditions: for each clip its features by stream, a tensor [steps, ...] each, any lengths.
            seconds: length of each sound.
            options: a ``SAMPLING`` of the model's folder.
            seeds: a clip's sound depends on its own seed alone, not on its batch.
            batch_size: clips a model pass.
            on_window: called with the number of windows finished.
        """


@runtime_checkable
class ConditionPredictor(Protocol):
    """A ``SoundGenerator`` that predicts some conditions from the others; one that is given is followed instead."""

    predicted_rates: Mapping[str, float]
    """What it predicts, by stream, and at how many steps a second."""

    def predict(
        self, conditions: Sequence[Mapping[str, Tensor]], seconds: Sequence[float], *, batch_size: int
    ) -> Sequence[dict[str, Tensor]]:
        """What it predicts of each clip, by stream, a tensor [steps, ...] each; what is given stays."""


@runtime_checkable
class CodeRefiner(Protocol):
    """What completes coarse codes; a model's folder names its class in ``REFINER``.

    It is built as ``REFINER(model, card)``.
    """

    num_coarse_codebooks: int
    """Codebooks it takes."""
    num_codebooks: int
    """K, codebooks it gives."""
    condition_rates: Mapping[str, float]
    """Streams that it takes, and at how many steps a second."""
    sampling: Any
    """The options that its weights recommend: a ``SAMPLING`` of its folder."""

    def num_windows(self, num_steps: int) -> int:
        """Passes that codes of this length take, for a progress bar."""

    def refine(
        self,
        codes: Sequence[Int[Tensor, "coarse _"]],
        conditions: Sequence[Mapping[str, Tensor]] | None,
        *,
        options: Any,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> Sequence[Int[Tensor, "K _"]]:
        """All codebooks of each clip's codes, of any lengths; the coarse ones stay, those beyond are passed over.

        The rest is as ``SoundGenerator.generate`` has it; without conditions there is audio alone.
        """


def codes_problems(config: Any, codes: StreamInfo) -> list[str]:
    """What of a configuration's codebooks and ``frame_rate`` does not fit a store's codes."""
    wanted = {"codebook_size": codes.codec.codebook_size if codes.codec else 0, "frame_rate": codes.rate}
    found = [
        f"model.{name} is {getattr(config, name)}, the store needs {value}"
        for name, value in wanted.items()
        if getattr(config, name) != value
    ]
    if config.num_codebooks > codes.shape[0]:
        found.append(f"model.num_codebooks is {config.num_codebooks}, the store has {codes.shape[0]}")
    return found


def width_problems(
    part: str, sizes: Mapping[str, StreamSize], streams: Mapping[str, StreamInfo]
) -> list[str]:
    """What of the field ``part``, sizes of streams of vectors, does not fit a store's streams."""
    return [
        f"model.{part}.{name}.width is {size.width}, the store has {list(streams[name].shape)}"
        for name, size in sizes.items()
        if streams[name].shape != (size.width,)
    ]
