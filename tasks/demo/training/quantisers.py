"""The two architectures' quantisers while they learn: continuous latents in, quantised latents and a penalty out."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from tasks.demo.training.codebooks import CodebookCare, DacLevel, EncodecLevel, as_rows
from vab.shapes import Float, Int, Tensor

COMMITMENT = 0.25 / 15
"""Weight of DAC's commitment beside a spectral loss of weight 1; its authors give that loss 15."""


class Quantiser(Protocol):
    """What the training of a codec needs to know of its quantiser; an ``nn.Module``."""

    codebook_size: int
    """V, entries of one level."""

    def start(self, latents: Float[Tensor, "B D S"], *, generator: torch.Generator) -> None:
        """Fill the codebooks from a first batch."""
        ...

    def __call__(
        self, latents: Float[Tensor, "B D S"], *, generator: torch.Generator
    ) -> tuple[Float[Tensor, "B D S"], Float[Tensor, ""]]:
        """Quantised latents, through which gradients pass, and a penalty to be added to the loss."""
        ...

    def codes(self, latents: Float[Tensor, "B D S"]) -> Int[Tensor, "K B S"]:
        """The entries chosen, of all levels."""
        ...

    def decode(self, codes: Int[Tensor, "K B S"]) -> Float[Tensor, "B D S"]:
        """Quantised latents of codes."""
        ...


class EncodecQuantiser(nn.Module):
    """The ``encodec`` package's, whose codebooks learn by moving averages."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.quantizer = model.quantizer
        self.codebook_size: int = model.quantizer.bins
        self.frame_rate = model.frame_rate
        self.care = CodebookCare([EncodecLevel(layer._codebook) for layer in model.quantizer.vq.layers])

    @torch.no_grad()
    def start(self, latents: Tensor, *, generator: torch.Generator) -> None:
        """K-means, and sums consistent with counts."""
        self.quantizer.eval()  # fills the codebooks without updating them
        self.quantizer(latents, self.frame_rate)
        self.quantizer.train()
        for layer in self.quantizer.vq.layers:
            book = layer._codebook
            book.cluster_size.clamp_(min=1.0)
            book.embed_avg.copy_(book.embed * book.cluster_size[:, None])

    def forward(self, latents: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The package's own pass; then useless entries move."""
        quantised = self.quantizer(latents, self.frame_rate)
        self.care.update(latents, generator=generator)
        return quantised.quantized, quantised.penalty.mean()

    def codes(self, latents: Tensor) -> Tensor:
        """Of all levels."""
        return self.quantizer.encode(latents, self.frame_rate)

    def decode(self, codes: Tensor) -> Tensor:
        """Sum of the entries."""
        return self.quantizer.decode(codes)


class DacQuantiser(nn.Module):
    """The ``dac`` package's, whose projections learn by gradients, and codebooks by means."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.quantizer = model.quantizer
        self.codebook_size: int = model.quantizer.codebook_size
        self.levels = [DacLevel(each) for each in model.quantizer.quantizers]
        self.care = CodebookCare(self.levels)

    @torch.no_grad()
    def start(self, latents: Tensor, *, generator: torch.Generator) -> None:
        """Level after level, each from what the ones before it leave."""
        residual = as_rows(latents)
        scale = (
            residual.norm(dim=1).square().mean().sqrt()
        )  # one for all: fine levels' errors are to count less
        for level in self.levels:
            level.start(residual, scale, generator=generator)
            nearest = torch.cdist(level.compared(residual), level.entries).argmin(dim=1)
            residual = level.left(residual, nearest)

    def forward(self, latents: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """All levels of all clips; then useless entries move.

        The package would drop the last levels of half the clips, so that any first few decode. The first levels of a
        codec this small then come to say nearly all that it can, and a second stage has nothing to add.
        """
        residual, quantised, penalty = latents, torch.zeros_like(latents), latents.new_zeros(())
        for level in self.levels:
            found, commitment, _, entry, projected = level.quantizer(residual)
            quantised = quantised + found
            residual = residual - found
            penalty = penalty + COMMITMENT * commitment.mean()
            with torch.no_grad():
                level.learn(as_rows(projected), entry.flatten())
        self.care.update(latents, generator=generator)
        return quantised, penalty

    def codes(self, latents: Tensor) -> Tensor:
        """Of all levels."""
        self.quantizer.eval()
        codes = self.quantizer(latents)[1]
        self.quantizer.train()
        return codes.transpose(0, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Sum of the entries, each projected back."""
        return self.quantizer.from_codes(codes.transpose(0, 1))[0]
