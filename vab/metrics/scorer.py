"""What a family of metrics is, and what several of them share: a Frechet distance, a number beside the truth's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vab.metrics.frechet import FEW_CLIPS, TRUSTED_FIT, FrechetDistance, too_few
from vab.metrics.pairing import PairedSound
from vab.shapes import Float, Tensor

SOUND_RATE = 16_000
"""Samples a second at which onsets and spectra are compared: the rate of the paper's codecs, so that a wider band is
no advantage. Full band is what ``fdm`` looks at."""


@dataclass(frozen=True)
class Column:
    """What a number is."""

    unit: str
    higher_is_better: bool


class Scorer(ABC):
    """One family of metrics; a subclass brings ``columns`` and ``add``, the rest where it has something to say."""

    columns: Mapping[str, Column]
    """Every number it gives, of clips or of the set."""

    @abstractmethod
    def add(self, sound: PairedSound) -> dict[str, float]:
        """Numbers of one clip; those that do not apply to it are left out."""

    def of_set(self) -> dict[str, float]:
        """Numbers that only all clips together have; means over clips are their caller's affair."""
        return {}

    def settings(self) -> dict[str, Any]:
        """What must be known to measure the same again."""
        return {}

    def warnings(self) -> list[str]:
        """Why a number is not to be trusted as it stands."""
        return []


class FrechetScorer(Scorer):
    """A Frechet distance over clips, and its extrapolation; a subclass's ``add`` calls :meth:`gather`."""

    def __init__(self, name: str) -> None:
        self.columns = {name: Column("", False), f"{name}_infinity": Column("", False)}
        self._name = name
        self._metric: FrechetDistance | None = None

    def gather(self, generated: Float[Tensor, "N E"], reference: Float[Tensor, "M E"]) -> None:
        """Add the features of one clip; those of the first decide the width."""
        if self._metric is None:
            self._metric = FrechetDistance(generated.shape[1])
        self._metric.update(generated, is_generated=True)
        self._metric.update(reference, is_generated=False)

    def of_set(self) -> dict[str, float]:
        if self._metric is None:
            return {}
        numbers = {self._name: self._metric.compute()}
        infinite = self._metric.extrapolate()
        if infinite is not None:
            numbers[f"{self._name}_infinity"] = infinite.distance
        return numbers

    def warnings(self) -> list[str]:
        if self._metric is None or self._metric.num_clips >= FEW_CLIPS:
            return []
        warnings = [too_few(self._name, f"{self._metric.num_clips} clips, fewer than {FEW_CLIPS}")]
        infinite = self._metric.extrapolate()
        if infinite is not None and infinite.r_squared < TRUSTED_FIT:
            bad = f"its line fits badly (r squared {infinite.r_squared:.2f}); do not quote it"
            warnings.append(f"{self._name}_infinity: {bad}")
        return warnings


def beside_truth(name: str, generated: float, truth: float) -> dict[str, float]:
    """A number of the generated sound beside the same of the true one."""
    return {name: generated, f"{name}_of_truth": truth}
