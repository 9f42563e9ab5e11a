"""Classes of sounds and videos by fine-tuned weights: the library behind ``vab classify``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vab import media
from vab.errors import WeightsError
from vab.models.vab.classifier import VABClassifier
from vab.models.vab.prediction import centred_starts, tiled_starts, window_probabilities
from vab.pipeline import Pipeline, load
from vab.shapes import Float, Int, Tensor

WINDOWS_A_PASS = 16


@dataclass(frozen=True)
class Classified:
    """What a file is, and what it is over time."""

    seconds: float
    """Length of the file."""
    overall: Float[Tensor, " classes"]
    """Probability of every class, each for itself: the mean over windows side by side."""
    times: list[float]
    """Seconds at the middle of each row of ``over_time``; empty where no timeline was asked for."""
    over_time: Float[Tensor, "times classes"]


class Classifier:
    """A classifier with the codec and the visual encoder it was trained with."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Take a loaded pipeline; ``load`` is the usual way.

        Raises:
            WeightsError: its weights are not a classifier's.
        """
        self.name = str(pipeline.provenance.get("weights", "a classifier"))
        if not isinstance(pipeline.model, VABClassifier):
            raise WeightsError(
                f"{self.name}: a {pipeline.card.type!r} names no classes; make one with 'vab finetune'"
            )
        self.pipeline = pipeline
        self.model = pipeline.model
        self.classes = tuple(pipeline.model.config.classes)
        self.modality = pipeline.model.config.modality
        self.sample_rate = pipeline.codec.sample_rate
        self.window_seconds = pipeline.card.window_seconds

    @classmethod
    def load(cls, name: str | Path, *, device: str = "auto") -> Classifier:
        """Weights that ``vab finetune`` wrote, with their codec and encoder.

        Raises:
            WeightsError: absent or damaged weights, or those of something else.
        """
        return cls(load(name, device=device))

    def classify(self, file: Path, *, every: float | None = None) -> Classified:
        """Probabilities of a file as a whole, and around points ``every`` seconds apart if that is given.

        Raises:
            MediaError: the file cannot be read, or lacks what the classifier looks at.
        """
        info = media.probe(file)
        codes = visual = None
        if self.modality != "visual":
            info.require_audio()
        if self.modality != "audio":
            info.require_video()
            visual = self.pipeline.encode_video(file, duration=info.duration)
        if self.modality != "visual":
            codes = self.pipeline.encode_audio(file, duration=info.duration)
        overall = self._mean(codes, visual, info.duration)
        if every is None:
            return Classified(info.duration, overall, [], torch.zeros(0, len(overall)))
        starts = centred_starts(info.duration, self.window_seconds, every)
        times = [(i + 0.5) * every for i in range(len(starts))]
        return Classified(info.duration, overall, times, self._windows(codes, visual, starts))

    def probabilities(self, waveform: Float[Tensor, "1 L"]) -> Float[Tensor, " classes"]:
        """The classes of a sound as one distribution, summing to 1, for measures that compare distributions.

        Raises:
            WeightsError: the classifier needs pictures.
        """
        if self.modality != "audio":
            raise WeightsError(f"{self.name}: looks at pictures; fine-tune one with --modality audio")
        mean = self._mean(self.pipeline.encode_audio(waveform), None, waveform.shape[1] / self.sample_rate)
        return mean / mean.sum()

    def _mean(
        self, codes: Int[Tensor, "K S"] | None, visual: Float[Tensor, "F E"] | None, seconds: float
    ) -> Float[Tensor, " classes"]:
        return self._windows(codes, visual, tiled_starts(seconds, self.window_seconds)).mean(dim=0)

    def _windows(
        self, codes: Int[Tensor, "K S"] | None, visual: Float[Tensor, "F E"] | None, starts: Sequence[float]
    ) -> Float[Tensor, "windows classes"]:
        return window_probabilities(
            self.model,
            codes,
            visual,
            starts,
            window_seconds=self.window_seconds,
            batch_size=WINDOWS_A_PASS,
        )
