"""Frechet distance between two sets of features, each taken for a Gaussian: float64, never negative, never NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import linregress
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vab.shapes import Float, Tensor

FEW_CLIPS = 500
"""Below this the distance is mostly the bias of too few samples; compare sets of one size only."""
TRUSTED_FIT = 0.8
"""R squared below which an extrapolated distance is not to be quoted."""

_NUM_BAGS = 50
_NUM_DRAWS = 25
_SMALLEST_SHARE = 0.3


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of outer products of feature rows; adding two is pooling their rows."""

    count: int
    total: Float[Tensor, " E"]
    outer: Float[Tensor, "E E"]

    @classmethod
    def of(cls, features: Float[Tensor, "N E"]) -> Moments:
        """Of rows of features, in float64.

        Raises:
            ValueError: a value is not finite.
        """
        rows = features.double()
        if not rows.isfinite().all():
            raise ValueError("features hold values that are not finite")
        return cls(len(rows), rows.sum(dim=0), rows.T @ rows)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    @property
    def mean(self) -> Float[Tensor, " E"]:
        """Mean row."""
        return self.total / self.count

    @property
    def covariance(self) -> Float[Tensor, "E E"]:
        """Unbiased covariance; zero for one row."""
        centred = self.outer - self.count * self.mean.outer(self.mean)
        return centred / max(1, self.count - 1)


def frechet_distance(first: Moments, second: Moments) -> float:
    """``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson and Landau, 1982): squared, as the field reports it.

    The trace of the root is the sum of the square roots of the eigenvalues of ``S1^(1/2) S2 S1^(1/2)``, a symmetric
    matrix: no complex numbers, no failure where a covariance is singular.

    Raises:
        ValueError: a set is empty.
    """
    if not first.count or not second.count:
        raise ValueError("an empty set has no Frechet distance")
    s1, s2 = first.covariance, second.covariance
    values, vectors = torch.linalg.eigh((s1 + s1.T) / 2)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    inner = root @ s2 @ root
    overlap = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp_min(0).sqrt().sum()
    shift = (first.mean - second.mean).square().sum()
    return max(0.0, (shift + s1.trace() + s2.trace() - 2 * overlap).item())


@dataclass(frozen=True)
class Extrapolation:
    """Frechet distance at infinitely many generated clips."""

    distance: float
    r_squared: float
    """How well the distances lie on a line over 1 / size: see ``TRUSTED_FIT``."""


def extrapolate(
    generated: Sequence[Moments], reference: Moments, *, generator: torch.Generator
) -> Extrapolation | None:
    """FAD-infinity (Gui et al., ICASSP 2024): bias falls as 1 / size, so a line over 1 / size ends in none.

    Args:
        generated: moments of each clip, or of bags of clips: frames of one clip are alike, so clips are what is drawn.
            Of fewer than 10 no line can be told: None.
        reference: of all reference clips; its own bias stays.
        generator: of the draws.
    """
    if len(generated) < 10:
        return None
    sizes = torch.linspace(_SMALLEST_SHARE * len(generated), len(generated), _NUM_DRAWS).round().long()
    places, distances = [], []
    for size in sizes.tolist():
        chosen = torch.randperm(len(generated), generator=generator)[:size].tolist()
        pooled = pool([generated[index] for index in chosen])
        places.append(1 / pooled.count)
        distances.append(frechet_distance(pooled, reference))
    line = linregress(places, distances)
    r_squared = float(line.rvalue) ** 2 if len(set(distances)) > 1 else 1.0
    return Extrapolation(max(0.0, float(line.intercept)), r_squared)


def pool(moments: Sequence[Moments]) -> Moments:
    """The moments of all rows together."""
    first, *others = moments
    return sum(others, start=first)


def too_few(name: str, clips: str) -> str:
    """The warning that a distance, called ``name``, is mostly bias."""
    return f"{name}: {clips}: too large by an unknown amount; compare sets of the same clips only"


class FrechetDistance(Metric):
    """Frechet distance over clips that come one by one; memory does not grow with their number."""

    higher_is_better = False
    full_state_update = False
    generated_clips: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        # Clips go round robin into bags, so that extrapolation can draw without every clip being kept.
        for side in ("generated", "reference"):
            for name, shape in (("count", ()), ("total", (width,)), ("outer", (width, width))):
                zeros = torch.zeros(_NUM_BAGS, *shape, dtype=torch.float64)
                self.add_state(f"{side}_{name}", zeros, dist_reduce_fx="sum")
            self.add_state(f"{side}_clips", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, features: Float[Tensor, "N E"], *, is_generated: bool) -> None:
        """Add the features of one clip of one side."""
        side = "generated" if is_generated else "reference"
        moments = Moments.of(features)
        clips = getattr(self, f"{side}_clips")
        bag = clips.item() % _NUM_BAGS
        for name in ("count", "total", "outer"):
            getattr(self, f"{side}_{name}")[bag] += getattr(moments, name)
        clips += 1

    @property
    def num_clips(self) -> int:
        """Generated clips so far."""
        return int(self.generated_clips)

    def compute(self) -> float:
        """The distance between all generated and all reference clips."""
        return frechet_distance(pool(self._bags("generated")), pool(self._bags("reference")))

    def extrapolate(self) -> Extrapolation | None:
        """At infinitely many generated clips: see :func:`extrapolate`."""
        generator = torch.Generator().manual_seed(0)
        return extrapolate(self._bags("generated"), pool(self._bags("reference")), generator=generator)

    def _bags(self, side: str) -> list[Moments]:
        count, total, outer = (getattr(self, f"{side}_{name}") for name in ("count", "total", "outer"))
        bags = [Moments(int(count[i]), total[i], outer[i]) for i in range(_NUM_BAGS) if count[i]]
        if not bags:
            raise ValueError(f"no {side} features were given")
        return bags


class ClipFrechetDistance(Metric):
    """Frechet distance on features of one wide row a clip: rows are fewer than columns, so rows are what is kept.

    No extrapolation: it would take dozens of decompositions of matrices thousands wide.
    """

    higher_is_better = False
    full_state_update = False
    generated: list[Tensor]
    reference: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for side in ("generated", "reference"):
            self.add_state(side, default=[], dist_reduce_fx="cat")

    def update(self, generated: Float[Tensor, " E"], reference: Float[Tensor, " E"]) -> None:
        """Add the features of one clip."""
        self.generated.append(generated[None])
        self.reference.append(reference[None])

    def few(self, name: str) -> list[str]:
        """A warning where the covariance has fewer rows than columns: directions that no clip was seen in."""
        num_clips, width = len(self.generated), self.generated[0].shape[1] if self.generated else 0
        return [too_few(name, f"{num_clips} clips for {width} features")] if num_clips <= width else []

    def compute(self) -> float:
        """The distance between all generated and all reference clips."""
        sides = (self.generated, self.reference)
        return frechet_distance(*(Moments.of(dim_zero_cat(side)) for side in sides))
