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
KMEANS_ROUNDS = 15


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
        config = network.config
        num_fine = config.num_codebooks - config.num_coarse_codebooks
        self.coarse_learner = CodebookLearner(
            config.num_coarse_codebooks, config.codebook_size, config.coarse_dim
        )
        self.detail_learner = CodebookLearner(num_fine, config.codebook_size, config.detail_dim)
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.long))
        self.distances = Distances(config.sample_rate)

    def forward(self, batch: Float[Tensor, "B 1 L"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one batch; the codebooks learn by moving averages meanwhile.

        A quarter of the batch is decoded from its coarse part alone, and only its spectra are compared.
        """
        network, config = self.network, self.network.config
        latents = network.encode(batch).float().transpose(1, 2)
        coarse, detail = latents.split([config.coarse_dim, config.detail_dim], dim=-1)
        commitment = latents.new_zeros(())
        with torch.autocast(batch.device.type, enabled=False):  # the nearest entry must be the nearest
            whiteness = distance_from_white(detail.flatten(0, 1), coarse.detach().flatten(0, 1))
            if self.num_batches >= self.num_unquantised_batches:
                is_first = bool(self.num_batches == self.num_unquantised_batches)
                coarse, coarse_commitment = self.coarse_learner(
                    coarse, network.coarse_codebooks, starts=is_first, generator=generator
                )
                detail, commitment = self.detail_learner(
                    detail, network.detail_codebooks, starts=is_first, generator=generator
                )
                commitment = commitment + coarse_commitment
        self.num_batches += 1
        quarter, sound = max(1, len(batch) // 4), batch[:, 0]
        detail = torch.cat([torch.zeros_like(detail[:quarter]), detail[quarter:]])
        decoded, coefficients = self._decode(torch.cat([coarse, detail], dim=-1), batch)
        alone = self.distances(decoded[:quarter], sound[:quarter])
        parts = {
            **self.distances(decoded[quarter:], sound[quarter:]),
            "coefficients": coefficients[quarter:].mean(),
            "coarse_alone": self.weights.spectrum * alone["spectrum"]
            + self.weights.magnitude * alone["magnitude"],
            "commitment": commitment,
            "whiteness": whiteness,
        }
        loss = torch.stack([getattr(self.weights, name) * part for name, part in parts.items()]).sum()
        return {"loss": loss, **parts}

    @torch.no_grad()
    def evaluate(self, batch: Float[Tensor, "B 1 L"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """The distances with all codebooks, and the share of entries that a batch uses."""
        quantiser = self.network.quantiser
        codes = quantiser.encode(self.network.encode(batch).float().transpose(1, 2), len(quantiser.codebooks))
        usage = [len(codes[:, k].unique()) / quantiser.codebooks.shape[1] for k in range(codes.shape[1])]
        decoded, coefficients = self._decode(quantiser.decode(codes), batch)
        return {
            **self.distances(decoded, batch[:, 0]),
            "coefficients": coefficients.mean(),
            "codebook_usage": torch.tensor(usage).mean(),
        }

    def _decode(self, latents: Tensor, target: Tensor) -> tuple[Float[Tensor, "B L"], Float[Tensor, "B S N"]]:
        """The sound, and the distances of its compressed MDCT coefficients."""
        spectrum = self.network.decode_spectrum(latents.transpose(1, 2))
        with torch.autocast(target.device.type, enabled=False):
            wanted = self.network.mdct(target[:, 0])[0]
            coefficients = (compress(spectrum[:, 1:-1].float()) - compress(wanted)).abs()
            return self.network.mdct.inverse(spectrum.float()), coefficients


class CodebookLearner(nn.Module):
    """Codebook entries as moving averages of the residuals that choose them (VQ-VAE's EMA, arXiv 1711.00937)."""

    counts: Tensor
    sums: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(num_codebooks, codebook_size))
        self.register_buffer("sums", torch.zeros(num_codebooks, codebook_size, dim))

    @torch.no_grad()
    def start(
        self, rows: Float[Tensor, "N D"], codebooks: Float[Tensor, "K V D"], *, generator: torch.Generator
    ) -> None:
        """Fill every codebook, in place, by k-means on what the ones before it leave."""
        for codebook, counts, sums in zip(codebooks, self.counts, self.sums, strict=True):
            codebook.copy_(_random_rows(rows, len(codebook), generator))
            for _ in range(KMEANS_ROUNDS):
                count, total = _assigned(rows, nearest_entries(rows, codebook), len(codebook))
                spare = _random_rows(rows, len(codebook), generator)
                codebook.copy_(torch.where(count[:, None] > 0, total / count.clamp_min(1)[:, None], spare))
            counts.copy_(count.clamp_min(1))
            sums.copy_(codebook * counts[:, None])
            rows = rows - codebook[nearest_entries(rows, codebook)]

    def forward(
        self,
        latents: Float[Tensor, "... D"],
        codebooks: Float[Tensor, "K V D"],
        *,
        starts: bool,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "... D"], Float[Tensor, ""]]:
        """Quantised latents, through which gradients pass, and the commitment; then the codebooks move, in place.

        Where it ``starts``, the codebooks are filled first.
        """
        rows = latents.flatten(0, -2)
        if starts:
            self.start(rows.detach(), codebooks, generator=generator)
        residual, commitment = rows, rows.new_zeros(())
        for codebook, counts, sums in zip(codebooks, self.counts, self.sums, strict=True):
            nearest = nearest_entries(residual.detach(), codebook)
            chosen = codebook[nearest]
            commitment = commitment + F.mse_loss(residual, chosen)
            self._learn(residual.detach(), nearest, codebook, counts, sums, generator)
            residual = residual - chosen
        return (rows - residual.detach()).view_as(latents), commitment

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


def distance_from_white(rows: Float[Tensor, "N D"], known: Float[Tensor, "N M"]) -> Float[Tensor, ""]:
    """How far rows are from white and from saying nothing that is known already.

    Mean over dimensions of the squared differences between the rows' second moments and the identity, and of the
    squared correlations with what is known.
    """
    moments = rows.T @ rows / len(rows)
    known = (known - known.mean(dim=0)) / (known.std(dim=0) + 0.1)
    shared = rows.T @ known / len(rows)
    white = (moments - torch.eye(len(moments)).to(moments)).square().sum()
    return (white + shared.square().sum()) / len(moments)


def _assigned(rows: Tensor, nearest: Tensor, size: int) -> tuple[Float[Tensor, " V"], Float[Tensor, "V D"]]:
    """How many rows chose each entry, and their sum."""
    count = torch.bincount(nearest, minlength=size).to(rows)
    return count, rows.new_zeros(size, rows.shape[1]).index_add_(0, nearest, rows)


def _random_rows(rows: Tensor, number: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randint(len(rows), (number,), generator=generator).to(rows.device)]
