"""Codebooks whose every entry is of use, around the ``encodec`` package's quantiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vab.shapes import Float, Tensor

MEMORY = 0.98
"""Of the moving average over batches by which an entry's use is judged."""
USELESS_BELOW = 0.05
"""Use, as a share of the codebook's mean, below which an entry is moved."""
MOVED_AT_ONCE = 0.02
"""Share of a codebook that moves in one batch."""


class CodebookCare(nn.Module):
    """Moves the entries that nobody would miss to where the error is largest (the utility of LBG-U, Fritzke 1997).

    The package's own means do not serve small batches. Its k-means start is undone by the first update, which divides
    sums that were never multiplied by their counts; an entry it moves is moved back by the same step's update, for
    the same reason; and by counts alone the many entries that share near-silence look busy. Here an entry's use is
    the error that its absence would add.
    """

    def __init__(self, quantizer: Any) -> None:
        super().__init__()
        self.books = [layer._codebook for layer in quantizer.vq.layers]
        for book in self.books:
            book.threshold_ema_dead_code = 0
        self.register_buffer("utility", torch.zeros(len(self.books), quantizer.bins))
        self.utility: Tensor

    @torch.no_grad()
    def start(self, quantizer: Any, latents: Float[Tensor, "B D S"], frame_rate: float) -> None:
        """K-means on a first batch, sums consistent with counts."""
        quantizer.eval()  # fills the codebooks without updating them
        quantizer(latents, frame_rate)
        quantizer.train()
        for book in self.books:
            book.cluster_size.clamp_(min=1.0)
            book.embed_avg.copy_(book.embed * book.cluster_size[:, None])

    @torch.no_grad()
    def update(self, latents: Float[Tensor, "B D S"], *, generator: torch.Generator) -> None:
        """Judge every entry by one batch, and move the useless ones.

        Args:
            latents: what the quantiser was given.
            generator: a CPU generator: where they move.
        """
        residual = latents.transpose(1, 2).flatten(0, 1)
        for book, utility in zip(self.books, self.utility, strict=True):
            nearest, entry = torch.cdist(residual, book.embed).square().topk(2, largest=False)
            gain = torch.zeros_like(utility).index_add_(0, entry[:, 0], nearest[:, 1] - nearest[:, 0])
            utility.mul_(MEMORY).add_(gain, alpha=1 - MEMORY)
            self._move(book, utility, residual, nearest[:, 0], generator)
            residual = residual - book.embed[entry[:, 0]]

    @staticmethod
    def _move(
        book: Any, utility: Tensor, vectors: Tensor, errors: Tensor, generator: torch.Generator
    ) -> None:
        useless = utility.argsort()[: max(1, int(MOVED_AT_ONCE * len(utility)))]
        useless = useless[utility[useless] < USELESS_BELOW * utility.mean()]
        if not len(useless):
            return
        chosen = torch.multinomial(errors.cpu() + 1e-12, len(useless), generator=generator).to(vectors.device)
        count = book.cluster_size.mean()
        book.embed[useless] = vectors[chosen]
        book.embed_avg[useless] = vectors[chosen] * count
        book.cluster_size[useless] = count
        utility[useless] = utility.mean()  # time to prove itself
