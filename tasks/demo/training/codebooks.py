"""Codebooks whose every entry is of use: how they start, and how useless entries move, for either architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from vab.shapes import Float, Int, Tensor

MEMORY = 0.98
"""Of the moving average over batches by which an entry's use is judged."""
USELESS_BELOW = 0.05
"""Use, as a share of the codebook's mean, below which an entry is moved."""
MOVED_AT_ONCE = 0.02
"""Share of a codebook that moves in one batch."""
INERTIA = 50.0
"""Vectors that weigh as much as where an entry of a DAC lies."""
START_ROUNDS = 5
"""Of the k-means that a DAC starts with."""


class Level(Protocol):
    """One level of a residual quantiser."""

    @property
    def entries(self) -> Float[Tensor, "V Dc"]:
        """What vectors are compared with, by Euclidean distance."""
        ...

    def compared(self, residual: Float[Tensor, "N D"]) -> Float[Tensor, "N Dc"]:
        """The vectors that are compared."""
        ...

    def left(self, residual: Float[Tensor, "N D"], entry: Int[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """What the next level is given."""
        ...

    def move(self, entries: Int[Tensor, " n"], residual: Float[Tensor, "n D"]) -> None:
        """Put entries where these residuals lie."""
        ...


class EncodecLevel:
    """A level of the ``encodec`` package, whose entries are moving averages of what chose them."""

    def __init__(self, book: Any) -> None:
        book.threshold_ema_dead_code = 0  # entries are moved here instead
        self.book = book

    @property
    def entries(self) -> Tensor:
        """The vectors themselves."""
        return self.book.embed

    def compared(self, residual: Tensor) -> Tensor:
        """The residual as it is."""
        return residual

    def left(self, residual: Tensor, entry: Tensor) -> Tensor:
        """Residual less entry."""
        return residual - self.book.embed[entry]

    def move(self, entries: Tensor, residual: Tensor) -> None:
        """Vectors, and sums that agree with counts."""
        count = self.book.cluster_size.mean()
        self.book.embed[entries] = residual
        self.book.embed_avg[entries] = residual * count
        self.book.cluster_size[entries] = count


class DacLevel:
    """A level of the ``dac`` package: few numbers a vector, compared by direction alone.

    Its authors train the entries by gradients; within a demo's few steps these would not keep up with the encoder, so
    here an entry follows the mean of what chooses it.
    """

    def __init__(self, quantizer: Any) -> None:
        quantizer.codebook.weight.requires_grad_(False)
        self.quantizer = quantizer

    @property
    def entries(self) -> Tensor:
        """Directions."""
        return F.normalize(self.quantizer.codebook.weight)

    def compared(self, residual: Tensor) -> Tensor:
        """Directions of the projected residual."""
        return F.normalize(self._project(residual))

    def left(self, residual: Tensor, entry: Tensor) -> Tensor:
        """Residual less the entry projected back."""
        chosen = self.quantizer.codebook.weight[entry]
        return residual - self.quantizer.out_proj(chosen.T[None])[0].T

    def move(self, entries: Tensor, residual: Tensor) -> None:
        """Vectors of a length that fits."""
        self.quantizer.codebook.weight[entries] = self._project(residual)

    def start(
        self, residual: Float[Tensor, "N D"], scale: Float[Tensor, ""], *, generator: torch.Generator
    ) -> None:
        """Project on the strongest directions of a first batch, divided by a scale, and back; then k-means.

        Not about the mean: along the mean lies the loudness, which directions alone would not tell.
        """
        size, width = self.quantizer.codebook.weight.shape
        directions = torch.linalg.svd(residual, full_matrices=False).Vh[:width]
        for convolution, weight in (
            (self.quantizer.in_proj, directions / scale),
            (self.quantizer.out_proj, directions.T * scale),
        ):
            convolution.weight_v.copy_(weight[:, :, None])
            convolution.weight_g.copy_(weight.norm(dim=1)[:, None, None])
            convolution.bias.zero_()
        chosen = torch.randint(len(residual), (size,), generator=generator).to(residual.device)
        self.move(torch.arange(size, device=residual.device), residual[chosen])
        for _ in range(START_ROUNDS):
            nearest = torch.cdist(self.compared(residual), self.entries).argmin(dim=1)
            self.learn(self._project(residual), nearest, inertia=0)

    def learn(
        self, vectors: Float[Tensor, "N Dc"], entry: Int[Tensor, " N"], *, inertia: float = INERTIA
    ) -> None:
        """Move each entry towards the mean of the projected vectors that chose it, the further the more they are."""
        weight = self.quantizer.codebook.weight
        count = torch.zeros_like(weight[:, 0]).index_add_(0, entry, torch.ones_like(vectors[:, 0]))
        total = torch.zeros_like(weight).index_add_(0, entry, vectors)
        share = (count / (count + inertia).clamp_min(1))[:, None]
        weight += share * (total / count.clamp_min(1)[:, None] - weight)

    def _project(self, residual: Tensor) -> Tensor:
        return self.quantizer.in_proj(residual.T[None])[0].T


class CodebookCare(nn.Module):
    """Moves the entries that nobody would miss to where the error is largest (the utility of LBG-U, Fritzke 1997).

    The packages' own means do not serve small batches. EnCodec's k-means start is undone by the first update, which
    divides sums that were never multiplied by their counts; an entry it moves is moved back by the same step's update,
    for the same reason; and by counts alone the many entries that share near-silence look busy. DAC moves nothing.
    Here an entry's use is the error that its absence would add.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("utility", torch.zeros(len(levels), len(levels[0].entries)))
        self.utility: Tensor

    @torch.no_grad()
    def update(self, latents: Float[Tensor, "B D S"], *, generator: torch.Generator) -> None:
        """Judge every entry by one batch, and move the useless ones.

        Args:
            latents: what the quantiser was given.
            generator: a CPU generator: where they move.
        """
        residual = as_rows(latents)
        for level, utility in zip(self.levels, self.utility, strict=True):
            nearest, entry = (
                torch.cdist(level.compared(residual), level.entries).square().topk(2, largest=False)
            )
            gain = torch.zeros_like(utility).index_add_(0, entry[:, 0], nearest[:, 1] - nearest[:, 0])
            utility.mul_(MEMORY).add_(gain, alpha=1 - MEMORY)
            self._move(level, utility, residual, nearest[:, 0], generator)
            residual = level.left(residual, entry[:, 0])

    @staticmethod
    def _move(
        level: Level, utility: Tensor, residual: Tensor, errors: Tensor, generator: torch.Generator
    ) -> None:
        useless = utility.argsort()[: max(1, int(MOVED_AT_ONCE * len(utility)))]
        useless = useless[utility[useless] < USELESS_BELOW * utility.mean()]
        if not len(useless):
            return
        chosen = torch.multinomial(errors.cpu() + 1e-12, len(useless), generator=generator).to(utility.device)
        level.move(useless, residual[chosen])
        utility[useless] = utility.mean()  # time to prove itself


def as_rows(latents: Float[Tensor, "B D S"]) -> Float[Tensor, "N D"]:
    """Every step of every clip as one vector."""
    return latents.transpose(1, 2).flatten(0, 1)
