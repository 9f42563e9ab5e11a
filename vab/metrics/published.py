"""Scorers on published networks, for users who have their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vab.metrics.classes import InceptionScore, kl_divergence
from vab.metrics.frechet import ClipFrechetDistance
from vab.metrics.pairing import PairedSound
from vab.metrics.scorer import Column, FrechetOfClips, Scorer, both_sounds, few_rows
from vab.metrics.tagging import Tagger
from vab.metrics.vggish import SAMPLE_RATE as VGGISH_RATE
from vab.metrics.vggish import VGGishFeatures


class VGGishScorer(Scorer):
    """FAD: Frechet distance on VGGish embeddings, the field's usual number (Kilgour et al., Interspeech 2019)."""

    columns: Mapping[str, Column] = {"fad": Column("", False), "fad_infinity": Column("", False)}

    def __init__(self, features: VGGishFeatures) -> None:
        """Start an empty set.

        Args:
            features: the network with its weights.
        """
        self._features = features
        self._frechet = FrechetOfClips("fad")

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Nothing of one clip."""
        self._frechet.add(*(self._features(each) for each in both_sounds(sound, VGGISH_RATE)))
        return {}

    def of_set(self) -> dict[str, float]:
        """The distance, and its extrapolation."""
        return self._frechet.numbers()

    def settings(self) -> dict[str, Any]:
        """Which of the variants."""
        return {"fad_features": "VGGish, before its last activation, no PCA"}

    def warnings(self) -> list[str]:
        """Where the set is small."""
        return self._frechet.warnings()


class TaggerScorer(Scorer):
    """What a published network hears: KL divergence from the true sound, inception score, Frechet distance.

    On AudioSet's classes and on one embedding a clip; the names of the numbers end with that of the network.
    """

    def __init__(self, name: str, tagger: Tagger) -> None:
        """Start an empty set.

        Args:
            name: ``panns`` or ``passt``.
            tagger: the network with its weights.
        """
        self.columns = {
            f"kl_{name}": Column("nats", False),
            f"inception_score_{name}": Column("", True),
            f"fd_{name}": Column("", False),
        }
        self._name, self._tagger = name, tagger
        self._inception, self._frechet = InceptionScore(), ClipFrechetDistance()
        self._num_clips, self._width = 0, 0

    def add(self, sound: PairedSound) -> dict[str, float]:
        """The divergence of one clip."""
        ours, theirs = (self._tagger(each) for each in both_sounds(sound, self._tagger.sample_rate))
        self._inception.update(ours.probabilities[None])
        self._frechet.update(ours.embedding, theirs.embedding)
        self._num_clips, self._width = self._num_clips + 1, len(ours.embedding)
        return {
            f"kl_{self._name}": kl_divergence(ours.probabilities[None], theirs.probabilities[None]).item()
        }

    def of_set(self) -> dict[str, float]:
        """Inception score and distance."""
        return {
            f"inception_score_{self._name}": self._inception.compute(),
            f"fd_{self._name}": self._frechet.compute(),
        }

    def settings(self) -> dict[str, Any]:
        """Which of the variants."""
        return {
            f"{self._name}_sample_rate": self._tagger.sample_rate,
            f"{self._name}_probabilities": "softmax",
        }

    def warnings(self) -> list[str]:
        """Where the set is small."""
        return few_rows(f"fd_{self._name}", self._num_clips, self._width)
