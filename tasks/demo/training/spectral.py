"""Training of the demo's spectral codec: what it minimises, and how its codebooks learn."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchaudio
from torch import nn

from tasks.demo.training.options import CodecLossWeights
from vab.codecs.spectral import SpectralNetwork, compress, nearest_entries
from vab.shapes import Float, Int, Tensor

MEL_WINDOWS = (128, 512, 2048)
"""Samples: clicks need short windows, tones long ones."""
STFT_WINDOWS = (256, 1024, 4096)
"""Of the complex STFT, which sees phase: a tone is held only if its phase goes on from step to step."""
FLOOR = 3e-4
"""Mean amplitude in a band below which spectra hardly differ: -70 dB of full scale."""
STFT_FLOOR = 2e-3
"""Keeps the relative distance of near silence finite."""
MEMORY = 0.98
"""Of the moving averages of codebook entries, over batches."""
REVIVED_BELOW = 0.05
"""Use, as a share of the codebook's mean, below which an entry moves to a random residual."""
KMEANS_ROUNDS = 6


class SpectralReconstruction(nn.Module):
    """The objective around an untrained network."""

    num_batches: Tensor

    def __init__(
        self, network: SpectralNetwork, weights: CodecLossWeights, *, num_unquantised_batches: int
    ) -> None:
        """Wrap a network.

        Args:
            network: to be trained.
            weights: of the loss.
            num_unquantised_batches: batches before the quantiser.
        """
        super().__init__()
        self.network = network
        self.weights = weights
        self.num_unquantised_batches = num_unquantised_batches
        self.learner = CodebookLearner(network.quantiser.codebooks)
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.long))
        self.distances = Distances(network.config.sample_rate)

    def forward(self, batch: Float[Tensor, "B 1 L"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one batch; the codebooks learn by moving averages meanwhile."""
        latents = self.network.encode(batch).float()
        rows = latents.transpose(1, 2).flatten(0, 1)
        commitment = latents.new_zeros(())
        with torch.autocast(batch.device.type, enabled=False):  # the nearest entry must be the nearest
            whiteness = distance_from_white(rows)
            if self.num_batches >= self.num_unquantised_batches:
                if self.num_batches == self.num_unquantised_batches:
                    self.learner.start(rows.detach(), generator=generator)
                quantised, commitment = self.learner(rows, generator=generator)
                latents = quantised.view_as(latents.transpose(1, 2)).transpose(1, 2)
        self.num_batches += 1
        parts = {**self._distances(latents, batch), "commitment": commitment, "whiteness": whiteness}
        loss = torch.stack([getattr(self.weights, name) * part for name, part in parts.items()]).sum()
        return {"loss": loss, **parts}

    @torch.no_grad()
    def evaluate(self, batch: Float[Tensor, "B 1 L"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """The distances with all codebooks, and the share of entries that a batch uses."""
        quantiser = self.network.quantiser
        codes = quantiser.encode(self.network.encode(batch).float().transpose(1, 2), len(quantiser.codebooks))
        usage = [len(codes[:, k].unique()) / quantiser.codebooks.shape[1] for k in range(codes.shape[1])]
        return {
            **self._distances(quantiser.decode(codes).transpose(1, 2), batch),
            "codebook_usage": torch.tensor(usage).mean(),
        }

    def _distances(self, latents: Tensor, target: Tensor) -> dict[str, Tensor]:
        spectrum = self.network.decode_spectrum(latents)
        with torch.autocast(target.device.type, enabled=False):
            decoded = self.network.mdct.inverse(spectrum.float())
            wanted = self.network.mdct(target[:, 0])[0]
            return {
                **self.distances(decoded, target[:, 0]),
                "coefficients": F.l1_loss(compress(spectrum[:, 1:-1].float()), compress(wanted)),
            }


class CodebookLearner(nn.Module):
    """Codebook entries as moving averages of the residuals that choose them (VQ-VAE's EMA, arXiv 1711.00937)."""

    counts: Tensor
    sums: Tensor

    def __init__(self, codebooks: Float[Tensor, "K V D"]) -> None:
        super().__init__()
        self.codebooks = codebooks  # the network's own buffer, written in place
        self.register_buffer("counts", torch.ones(codebooks.shape[:2]))
        self.register_buffer("sums", codebooks.clone())

    @torch.no_grad()
    def start(self, rows: Float[Tensor, "N D"], *, generator: torch.Generator) -> None:
        """Fill every codebook by k-means on what the ones before it leave."""
        for codebook, counts, sums in zip(self.codebooks, self.counts, self.sums, strict=True):
            codebook.copy_(_random_rows(rows, len(codebook), generator))
            for _ in range(KMEANS_ROUNDS):
                count, total = _assigned(rows, nearest_entries(rows, codebook), len(codebook))
                spare = _random_rows(rows, len(codebook), generator)
                codebook.copy_(torch.where(count[:, None] > 0, total / count.clamp_min(1)[:, None], spare))
            counts.copy_(count.clamp_min(1))
            sums.copy_(codebook * counts[:, None])
            rows = rows - codebook[nearest_entries(rows, codebook)]

    def forward(
        self, rows: Float[Tensor, "N D"], *, generator: torch.Generator
    ) -> tuple[Float[Tensor, "N D"], Float[Tensor, ""]]:
        """Quantised rows, through which gradients pass, and the commitment; then the codebooks move."""
        residual, commitment = rows, rows.new_zeros(())
        for codebook, counts, sums in zip(self.codebooks, self.counts, self.sums, strict=True):
            nearest = nearest_entries(residual.detach(), codebook)
            chosen = codebook[nearest]
            commitment = commitment + F.mse_loss(residual, chosen)
            self._learn(residual.detach(), nearest, codebook, counts, sums, generator)
            residual = residual - chosen
        return rows - residual.detach(), commitment

    @torch.no_grad()
    def _learn(
        self,
        rows: Tensor,
        nearest: Int[Tensor, " N"],
        codebook: Tensor,
        counts: Tensor,
        sums: Tensor,
        generator: torch.Generator,
    ) -> None:
        count, total = _assigned(rows, nearest, len(codebook))
        counts.lerp_(count, 1 - MEMORY)
        sums.lerp_(total, 1 - MEMORY)
        mean = counts.mean()
        is_dead = (counts < REVIVED_BELOW * mean)[:, None]
        spare = _random_rows(rows, len(codebook), generator)
        sums.copy_(torch.where(is_dead, spare * mean, sums))
        counts.copy_(torch.where(is_dead[:, 0], mean, counts))
        codebook.copy_(sums / counts.clamp_min(1e-3)[:, None])


class Distances(nn.Module):
    """Spectral distances of several resolutions between a decoded and a true waveform."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.mel = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                sample_rate,
                n_fft=window,
                hop_length=window // 4,
                n_mels=window // 12,  # fine enough at 2048 to tell one pitch from the next
                power=1,
                normalized="window",
            )
            for window in MEL_WINDOWS
        )
        self.windows = nn.ParameterList(
            nn.Parameter(torch.hann_window(window), requires_grad=False) for window in STFT_WINDOWS
        )

    def forward(self, decoded: Float[Tensor, "B L"], target: Float[Tensor, "B L"]) -> dict[str, Tensor]:
        """``spectrum``, ``magnitude`` and ``phase`` of ``CodecLossWeights``."""
        logarithmic, linear = decoded.new_zeros(()), decoded.new_zeros(())
        for module in self.mel:
            spectrogram: Any = module
            ours, theirs = spectrogram(decoded), spectrogram(target)
            logarithmic = logarithmic + F.l1_loss((ours + FLOOR).log(), (theirs + FLOOR).log())
            linear = linear + F.l1_loss(ours, theirs)
        phase = decoded.new_zeros(())
        for window in self.windows:
            ours, theirs = (_stft(each, window) for each in (decoded, target))
            error = torch.linalg.vector_norm(ours - theirs, dim=-1).mean(dim=(1, 2))
            level = torch.linalg.vector_norm(theirs, dim=-1).mean(dim=(1, 2))
            phase = phase + (error / (level + STFT_FLOOR)).mean()
        return {
            "spectrum": logarithmic / len(self.mel),
            "magnitude": linear / len(self.mel),
            "phase": phase / len(self.windows),
        }


def _stft(waveform: Tensor, window: Tensor) -> Float[Tensor, "B f t 2"]:
    size = len(window)
    spectrum = torch.stft(waveform, size, size // 4, window=window, return_complex=True)
    return torch.view_as_real(spectrum) / size**0.5


def distance_from_white(rows: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
    """Mean over dimensions of the squared differences between the rows' second moments and the identity."""
    moments = rows.T @ rows / len(rows)
    return (moments - torch.eye(len(moments)).to(moments)).square().sum() / len(moments)


def _assigned(rows: Tensor, nearest: Tensor, size: int) -> tuple[Float[Tensor, " V"], Float[Tensor, "V D"]]:
    """How many rows chose each entry, and their sum."""
    count = torch.bincount(nearest, minlength=size).to(rows)
    return count, rows.new_zeros(size, rows.shape[1]).index_add_(0, nearest, rows)


def _random_rows(rows: Tensor, number: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randint(len(rows), (number,), generator=generator).to(rows.device)]
