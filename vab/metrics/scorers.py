"""Families of metrics on one network at most: what each takes of a pair of sounds and says of it."""

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
from vab.metrics.frechet import ClipFrechetDistance
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
from vab.metrics.published import Tagger
from vab.metrics.scorer import SOUND_RATE, Column, FrechetScorer, Scorer, beside_truth
from vab.metrics.spectra import MFCC_HOP, MFCC_RATE, log_mel_distance, mfcc, multi_resolution_stft_distance
from vab.metrics.vggish import SAMPLE_RATE as VGGISH_RATE
from vab.metrics.vggish import VGGishFeatures
from vab.shapes import Float, Tensor


class _DetectorScorer(Scorer):
    """Scores of detected onsets, which two numbers decide."""

    def __init__(self, *, threshold: float = DEFAULT_THRESHOLD, window: float = DEFAULT_WINDOW) -> None:
        """``threshold`` of the detector in dB; ``window`` in seconds within which two onsets or events are one."""
        self.threshold, self.window = threshold, window

    def settings(self) -> dict[str, Any]:
        return {"onset_threshold_db": self.threshold, "onset_window_seconds": self.window}


class OnsetScorer(_DetectorScorer):
    """Onsets of the generated sound against those of the true one: as events, and as curves."""

    columns: Mapping[str, Column] = {
        **dict.fromkeys(("onset_f1", "onset_precision", "onset_recall"), Column("", True)),
        **dict.fromkeys(("onset_ap", "onset_count_accuracy"), Column("", True)),
        "odf_w": Column("s", False),
        "odf_dtw": Column("", False),
    }

    def add(self, sound: PairedSound) -> dict[str, float]:
        ours, theirs = (onset_strength(each, SOUND_RATE) for each in sound.both(SOUND_RATE))
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


class EventScorer(_DetectorScorer):
    """Onsets of the generated sound against events whose times are known, from a JSON beside the true clip.

    The JSON is that of Foley world: ``{"events": [{"time": seconds, ...}, ...]}``. Clips without events are left out.
    ``event_f1_of_truth`` is what the detector reaches on the true sound.
    """

    columns: Mapping[str, Column] = dict.fromkeys(
        ("event_f1", "event_precision", "event_recall", "event_f1_of_truth"), Column("", True)
    )

    def add(self, sound: PairedSound) -> dict[str, float]:
        start = sound.pair.reference.start
        times = [time - start for time in read_events(sound.pair.reference.path)]
        times = [time for time in times if 0 <= time < sound.seconds]
        if not times:
            return {}
        true = torch.tensor(times, dtype=torch.float64)
        ours, theirs = (
            event_scores(each, SOUND_RATE, true, threshold=self.threshold, window=self.window)
            for each in sound.both(SOUND_RATE)
        )
        return {
            **beside_truth("event_f1", ours.f1, theirs.f1),
            "event_precision": ours.precision,
            "event_recall": ours.recall,
        }


class SpectrumScorer(Scorer):
    """Distances of the spectrograms, moment by moment."""

    columns: Mapping[str, Column] = {"log_mel": Column("dB", False), "multi_stft": Column("", False)}

    def add(self, sound: PairedSound) -> dict[str, float]:
        ours, theirs = sound.both(SOUND_RATE)
        return {
            "log_mel": log_mel_distance(ours, theirs, SOUND_RATE),
            "multi_stft": multi_resolution_stft_distance(ours, theirs),
        }


class CepstrumScorer(FrechetScorer):
    """MaskVAT's two metrics on MFCC: novelty correlation of a clip, Frechet distance of the set."""

    def __init__(self) -> None:
        super().__init__("fdm")
        self.columns = {"novelty": Column("", True), **self.columns}

    def add(self, sound: PairedSound) -> dict[str, float]:
        ours, theirs = (mfcc(each) for each in sound.both(MFCC_RATE))
        self.gather(ours, theirs)
        curves = [novelty(each, rate=MFCC_RATE / MFCC_HOP) for each in (ours, theirs)]
        return {"novelty": correlation(*curves)} if len(curves[0]) else {}


class CodecScorer(FrechetScorer):
    """FDD: Frechet distance on the codebook vectors of any codec (MaskVAT has DAC's), the measured model's or not."""

    def __init__(self, codec: Codec) -> None:
        super().__init__("fdd")
        self._codec = codec
        self._codebooks = codec.codebooks.cpu()

    def add(self, sound: PairedSound) -> dict[str, float]:
        self.gather(*(self._vectors(each) for each in sound.both(self._codec.sample_rate)))
        return {}

    def settings(self) -> dict[str, Any]:
        return {"fdd_codec": self._codec.name, "fdd_codec_fingerprint": self._codec.fingerprint}

    def _vectors(self, waveform: Tensor) -> Tensor:
        """Each step's codebook vectors [S, K * Dc] side by side, before they are summed."""
        codes = self._codec.encode(waveform[None].to(self._codec.codebooks.device))[0].cpu()
        return torch.cat([table[row] for table, row in zip(self._codebooks, codes, strict=True)], dim=1)


class VGGishScorer(FrechetScorer):
    """FAD: Frechet distance on VGGish embeddings, the field's usual number (Kilgour et al., Interspeech 2019)."""

    def __init__(self, features: VGGishFeatures) -> None:
        super().__init__("fad")
        self._features = features

    def add(self, sound: PairedSound) -> dict[str, float]:
        self.gather(*(self._features(each) for each in sound.both(VGGISH_RATE)))
        return {}

    def settings(self) -> dict[str, Any]:
        return {"fad_features": "VGGish, before its last activation, no PCA"}


class TaggerScorer(Scorer):
    """What a published network says: KL divergence from the true sound, inception score, Frechet distance.

    On AudioSet's classes and on one embedding a clip; the names of the numbers end with that of the network, ``panns``
    or ``passt``.
    """

    def __init__(self, name: str, tagger: Tagger) -> None:
        self.columns = {
            f"kl_{name}": Column("nats", False),
            f"inception_score_{name}": Column("", True),
            f"fd_{name}": Column("", False),
        }
        self._name, self._tagger = name, tagger
        self._inception, self._frechet = InceptionScore(), ClipFrechetDistance()

    def add(self, sound: PairedSound) -> dict[str, float]:
        ours, theirs = (self._tagger(each) for each in sound.both(self._tagger.sample_rate))
        self._inception.update(ours.probabilities[None])
        self._frechet.update(ours.embedding, theirs.embedding)
        return {
            f"kl_{self._name}": kl_divergence(ours.probabilities[None], theirs.probabilities[None]).item()
        }

    def of_set(self) -> dict[str, float]:
        return {
            f"inception_score_{self._name}": self._inception.compute(),
            f"fd_{self._name}": self._frechet.compute(),
        }

    def settings(self) -> dict[str, Any]:
        return {
            f"{self._name}_sample_rate": self._tagger.sample_rate,
            f"{self._name}_probabilities": "softmax",
        }

    def warnings(self) -> list[str]:
        return self._frechet.few(f"fd_{self._name}")


@runtime_checkable
class Classifier(Protocol):
    """Whatever gives probabilities of its classes for a clip at ``sample_rate``, summing to 1."""

    name: str
    """Of its weights, for the report."""
    sample_rate: int
    """Of the sound it takes."""

    @property
    def classes(self) -> Sequence[str]: ...

    def probabilities(self, waveform: Float[Tensor, "1 L"]) -> Float[Tensor, " V"]: ...


class ClassScorer(Scorer):
    """What a classifier says: KL divergence from the true sound, inception score, accuracy on labelled clips.

    Whoever trained it; accuracy needs labels of its classes in the list.
    """

    columns: Mapping[str, Column] = {
        "kl": Column("nats", False),
        **dict.fromkeys(("accuracy", "accuracy_of_truth", "inception_score"), Column("", True)),
    }

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._inception = InceptionScore()

    def add(self, sound: PairedSound) -> dict[str, float]:
        ours, theirs = (
            self._classifier.probabilities(each)[None] for each in sound.both(self._classifier.sample_rate)
        )
        self._inception.update(ours)
        numbers = {"kl": kl_divergence(ours, theirs).item()}
        labels = sound.pair.reference.labels
        if labels and labels[0] in self._classifier.classes:
            target = torch.tensor([self._classifier.classes.index(labels[0])])
            numbers |= beside_truth("accuracy", top1_accuracy(ours, target), top1_accuracy(theirs, target))
        return numbers

    def of_set(self) -> dict[str, float]:
        return {"inception_score": self._inception.compute()}

    def settings(self) -> dict[str, Any]:
        return {"classifier": self._classifier.name}


@runtime_checkable
class Embedder(Protocol):
    """A contrastive model's two halves; a ``vab.Pipeline`` of an adapted model is one."""

    @property
    def provenance(self) -> dict[str, Any]: ...

    @property
    def codec(self) -> Codec: ...

    def encode_video(
        self, video: str | Path, *, start: float = 0.0, duration: float | None = None
    ) -> Float[Tensor, "F E"]: ...

    def agreement(self, audio: Float[Tensor, "1 L"], visual: Float[Tensor, "F E"]) -> float: ...


class AgreementScorer(Scorer):
    """Cosine of the embeddings of generated sound and of the true frames; clips without frames are left out."""

    columns: Mapping[str, Column] = dict.fromkeys(("agreement", "agreement_of_truth"), Column("", True))

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def add(self, sound: PairedSound) -> dict[str, float]:
        frames = sound.of_frames(self._embedder.encode_video)
        if frames is None:
            return {}
        ours, theirs = (
            self._embedder.agreement(each, frames) for each in sound.both(self._embedder.codec.sample_rate)
        )
        return beside_truth("agreement", ours, theirs)

    def settings(self) -> dict[str, Any]:
        return {f"agreement_{key}": value for key, value in self._embedder.provenance.items()}


def read_events(clip: Path) -> list[float]:
    """Event times in seconds from the JSON beside a clip; none where there is no such file, or none in it.

    Raises:
        MediaError: the file is damaged.
    """
    truth = clip.with_suffix(".json")
    if not truth.is_file():
        return []
    try:
        return [float(event["time"]) for event in json.loads(truth.read_text()).get("events", [])]
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise MediaError(f"{truth}: its events cannot be read; mend or remove it") from error
