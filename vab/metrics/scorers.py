"""Families of metrics that need no weights, or the project's own: what each takes of a pair and says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from vab.codecs.base import Codec
from vab.errors import MediaError
from vab.metrics.classes import InceptionScore, kl_divergence, top1_accuracy
from vab.metrics.curves import correlation, dtw_distance, novelty, wasserstein_seconds
from vab.metrics.latents import code_vectors
from vab.metrics.onsets import (
    CURVE_RATE,
    DEFAULT_THRESHOLD,
    DEFAULT_WINDOW,
    event_scores,
    find_peaks,
    onset_average_precision,
    onset_scores,
    onset_strength,
)
from vab.metrics.pairing import PairedSound
from vab.metrics.scorer import SOUND_RATE, Column, FrechetOfClips, Scorer, both_sounds
from vab.metrics.spectra import MFCC_HOP, MFCC_RATE, log_mel_distance, mfcc, multi_resolution_stft_distance
from vab.shapes import Float, Tensor


class OnsetScorer(Scorer):
    """Onsets of the generated sound against those of the true one: as events, and as curves."""

    columns: Mapping[str, Column] = {
        "onset_f1": Column("", True),
        "onset_precision": Column("", True),
        "onset_recall": Column("", True),
        "onset_ap": Column("", True),
        "onset_count_accuracy": Column("", True),
        "odf_w": Column("s", False),
        "odf_dtw": Column("", False),
    }

    def __init__(self, *, threshold: float = DEFAULT_THRESHOLD, window: float = DEFAULT_WINDOW) -> None:
        """Nothing is kept between clips.

        Args:
            threshold: of the detector, dB.
            window: seconds within which two onsets are one event.
        """
        self.threshold, self.window = threshold, window

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Of one clip."""
        ours, theirs = (onset_strength(each, SOUND_RATE) for each in both_sounds(sound, SOUND_RATE))
        detected, true = (find_peaks(curve, threshold=self.threshold) for curve in (ours, theirs))
        scores = onset_scores(detected, true, window=self.window)
        confidence = ours[(detected * CURVE_RATE).round().long()]
        return {
            "onset_f1": scores.f1,
            "onset_precision": scores.precision,
            "onset_recall": scores.recall,
            "onset_ap": onset_average_precision(detected, confidence, true, window=self.window),
            "onset_count_accuracy": float(len(detected) == len(true)),
            "odf_w": wasserstein_seconds(ours, theirs),
            "odf_dtw": dtw_distance(ours, theirs),
        }

    def settings(self) -> dict[str, Any]:
        """The two numbers that decide."""
        return {"onset_threshold_db": self.threshold, "onset_window_seconds": self.window}


class EventScorer(Scorer):
    """Onsets of the generated sound against events whose times are known, from a JSON beside the true clip.

    The JSON is that of Foley world: ``{"events": [{"time": seconds, ...}, ...]}``. Clips without events are left out.
    """

    columns: Mapping[str, Column] = {
        "event_f1": Column("", True),
        "event_precision": Column("", True),
        "event_recall": Column("", True),
        "event_f1_of_truth": Column("", True),
    }

    def __init__(self, *, threshold: float = DEFAULT_THRESHOLD, window: float = DEFAULT_WINDOW) -> None:
        """Nothing is kept between clips.

        Args:
            threshold: of the detector, dB.
            window: seconds within which an onset meets an event.
        """
        self.threshold, self.window = threshold, window

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Of one clip, and of its true sound: what the detector can reach.

        Raises:
            MediaError: the JSON beside the clip is not one.
        """
        start = sound.pair.reference.start
        times = [time - start for time in read_events(sound.pair.reference.path)]
        times = [time for time in times if 0 <= time < sound.seconds]
        if not times:
            return {}
        true = torch.tensor(times, dtype=torch.float64)
        ours, theirs = (
            event_scores(each, SOUND_RATE, true, threshold=self.threshold, window=self.window)
            for each in both_sounds(sound, SOUND_RATE)
        )
        return {
            "event_f1": ours.f1,
            "event_precision": ours.precision,
            "event_recall": ours.recall,
            "event_f1_of_truth": theirs.f1,
        }

    def settings(self) -> dict[str, Any]:
        """The two numbers that decide."""
        return {"onset_threshold_db": self.threshold, "onset_window_seconds": self.window}


class SpectrumScorer(Scorer):
    """Distances of the spectrograms, moment by moment."""

    columns: Mapping[str, Column] = {
        "log_mel": Column("dB", False),
        "multi_stft": Column("", False),
    }

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Of one clip."""
        ours, theirs = both_sounds(sound, SOUND_RATE)
        return {
            "log_mel": log_mel_distance(ours, theirs, SOUND_RATE),
            "multi_stft": multi_resolution_stft_distance(ours, theirs),
        }


class CepstrumScorer(Scorer):
    """MaskVAT's two metrics on MFCC: novelty correlation of a clip, Frechet distance of the set."""

    columns: Mapping[str, Column] = {
        "novelty": Column("", True),
        "fdm": Column("", False),
        "fdm_infinity": Column("", False),
    }

    def __init__(self) -> None:
        """Start an empty set."""
        self._frechet = FrechetOfClips("fdm")

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Of one clip."""
        ours, theirs = (mfcc(each) for each in both_sounds(sound, MFCC_RATE))
        self._frechet.add(ours, theirs)
        curves = [novelty(each, rate=MFCC_RATE / MFCC_HOP) for each in (ours, theirs)]
        return {"novelty": correlation(*curves)} if len(curves[0]) else {}

    def of_set(self) -> dict[str, float]:
        """The distance, and its extrapolation."""
        return self._frechet.numbers()

    def warnings(self) -> list[str]:
        """Where the set is small."""
        return self._frechet.warnings()


class CodecScorer(Scorer):
    """FDD: Frechet distance on the codebook vectors of any codec (MaskVAT has DAC's)."""

    columns: Mapping[str, Column] = {"fdd": Column("", False), "fdd_infinity": Column("", False)}

    def __init__(self, codec: Codec) -> None:
        """Start an empty set.

        Args:
            codec: which need not be the one of the model that is measured.
        """
        self._codec = codec
        self._codebooks = codec.codebooks.cpu()
        self._frechet = FrechetOfClips("fdd")

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Nothing of one clip."""
        self._frechet.add(*(self._vectors(each) for each in both_sounds(sound, self._codec.sample_rate)))
        return {}

    def of_set(self) -> dict[str, float]:
        """The distance, and its extrapolation."""
        return self._frechet.numbers()

    def settings(self) -> dict[str, Any]:
        """Which codec."""
        return {"fdd_codec": self._codec.name, "fdd_codec_fingerprint": self._codec.fingerprint}

    def warnings(self) -> list[str]:
        """Where the set is small."""
        return self._frechet.warnings()

    def _vectors(self, waveform: Tensor) -> Tensor:
        device = self._codec.codebooks.device
        return code_vectors(self._codec.encode(waveform[None].to(device))[0].cpu(), self._codebooks)


@runtime_checkable
class Classifier(Protocol):
    """Whatever gives class probabilities of a sound."""

    name: str
    """Of its weights, for the report."""
    sample_rate: int
    """Of the sound it takes."""

    @property
    def classes(self) -> Sequence[str]:
        """Names, in the order of the probabilities."""
        ...

    def probabilities(self, waveform: Float[Tensor, "1 L"]) -> Float[Tensor, " V"]:
        """Of one clip at ``sample_rate``, summing to 1."""
        ...


class ClassScorer(Scorer):
    """What a classifier hears: KL divergence from the true sound, inception score, accuracy on labelled clips."""

    columns: Mapping[str, Column] = {
        "kl": Column("nats", False),
        "accuracy": Column("", True),
        "accuracy_of_truth": Column("", True),
        "inception_score": Column("", True),
    }

    def __init__(self, classifier: Classifier) -> None:
        """Start an empty set.

        Args:
            classifier: trained by anyone; accuracy needs labels of its classes in the list.
        """
        self._classifier = classifier
        self._inception = InceptionScore()

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Of one clip."""
        ours, theirs = (
            self._classifier.probabilities(each)[None]
            for each in both_sounds(sound, self._classifier.sample_rate)
        )
        self._inception.update(ours)
        numbers = {"kl": kl_divergence(ours, theirs).item()}
        labels = sound.pair.reference.labels
        if labels and labels[0] in self._classifier.classes:
            target = torch.tensor([self._classifier.classes.index(labels[0])])
            numbers["accuracy"] = top1_accuracy(ours, target)
            numbers["accuracy_of_truth"] = top1_accuracy(theirs, target)
        return numbers

    def of_set(self) -> dict[str, float]:
        """The inception score."""
        return {"inception_score": self._inception.compute()}

    def settings(self) -> dict[str, Any]:
        """Which classifier."""
        return {"classifier": self._classifier.name}


@runtime_checkable
class Embedder(Protocol):
    """A contrastive model's two halves; a ``vab.Pipeline`` of an adapted model is one."""

    @property
    def provenance(self) -> dict[str, Any]:
        """Its weights, for the report."""
        ...

    @property
    def codec(self) -> Codec:
        """Whose rate its sound has."""
        ...

    def encode_video(
        self, video: str | Path, *, start: float = 0.0, duration: float | None = None
    ) -> Float[Tensor, "F E"]:
        """Frame features of a video."""
        ...

    def agreement(self, audio: Float[Tensor, "1 L"], visual: Float[Tensor, "F E"]) -> float:
        """Cosine of sound and pictures."""
        ...


class AgreementScorer(Scorer):
    """Cosine of the embeddings of generated sound and of the true pictures; clips without pictures are left out."""

    columns: Mapping[str, Column] = {
        "agreement": Column("", True),
        "agreement_of_truth": Column("", True),
    }

    def __init__(self, embedder: Embedder) -> None:
        """Nothing is kept between clips.

        Args:
            embedder: trained so that sound and pictures of one clip are near.
        """
        self._embedder = embedder

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Of one clip, and of its true sound."""
        clip = sound.pair.reference
        try:
            pictures = self._embedder.encode_video(clip.path, start=clip.start, duration=sound.seconds)
        except MediaError:
            return {}
        ours, theirs = (
            self._embedder.agreement(each, pictures)
            for each in both_sounds(sound, self._embedder.codec.sample_rate)
        )
        return {"agreement": ours, "agreement_of_truth": theirs}

    def settings(self) -> dict[str, Any]:
        """Which embedder."""
        return {f"agreement_{key}": value for key, value in self._embedder.provenance.items()}


def read_events(clip: Path) -> list[float]:
    """Event times in seconds from the JSON beside a clip; none where there is no such file, or none in it.

    Raises:
        MediaError: the file is damaged.
    """
    sidecar = clip.with_suffix(".json")
    if not sidecar.is_file():
        return []
    try:
        return [float(event["time"]) for event in json.loads(sidecar.read_text()).get("events", [])]
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise MediaError(f"{sidecar}: its events cannot be read; mend or remove it") from error
