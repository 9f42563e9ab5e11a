"""Classes of audio and video by fine-tuned weights: the library behind ``vab classify``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vab import media
from vab.errors import WeightsError
from vab.models.vab.classifier import VABClassifier
from vab.models.vab.prediction import window_probabilities
from vab.pipeline import Pipeline, load
from vab.shapes import Float, Int, Tensor


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
        self.windows = pipeline.windows

    @classmethod
    def load(cls, name: str | Path, *, device: str = "auto") -> Classifier:
        """Weights that ``vab finetune`` wrote, with their codec and encoder; a WeightsError of any others."""
        return cls(load(name, device=device))

    def classify(
        self, file: Path, *, every: float | None = None, window_seconds: float | None = None
    ) -> Classified:
        """Probabilities of a file as a whole, and around points ``every`` seconds apart if that is given.

        ``window_seconds`` are classified around each point; by default as many as it was trained on, which a shorter
        file is as a whole, at every point.

        Raises:
            MediaError: the file cannot be read, or lacks what the classifier looks at.
        """
        info = media.probe(file)
        codes = visual = None
        if self.modality != "visual":
            info.require_audio()
            codes = self.pipeline.encode_audio(file, duration=info.duration)
        if self.modality != "audio":
            info.require_video()
            visual = self.pipeline.encode_video(file, duration=info.duration)
        overall = self._mean(codes, visual, info.duration)
        if every is None:
            return Classified(info.duration, overall, [], torch.zeros(0, len(overall)))
        windows = replace(self.windows, seconds=window_seconds or self.windows.seconds)
        starts = windows.centred(info.duration, every)
        times = [(i + 0.5) * every for i in range(len(starts))]
        over_time = window_probabilities(self.model, codes, visual, windows, starts)
        return Classified(info.duration, overall, times, over_time)

    def probabilities(self, waveform: Float[Tensor, "1 L"]) -> Float[Tensor, " classes"]:
        """The classes of a sound as one distribution that sums to 1; a WeightsError where frames are needed."""
        if self.modality != "audio":
            raise WeightsError(f"{self.name}: looks at frames; fine-tune one with --modality audio")
        mean = self._mean(self.pipeline.encode_audio(waveform), None, waveform.shape[1] / self.sample_rate)
        return mean / mean.sum()

    def _mean(
        self, codes: Int[Tensor, "K S"] | None, visual: Float[Tensor, "F E"] | None, seconds: float
    ) -> Float[Tensor, " classes"]:
        starts = self.windows.tiled(seconds)
        return window_probabilities(self.model, codes, visual, self.windows, starts).mean(dim=0)
