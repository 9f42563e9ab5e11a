"""Training of a small codec: reconstruction in mel spectrograms of several resolutions, latents that use their room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio
from torch import nn
from torch.utils.data import Dataset
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from tasks.demo.training.codebooks import as_rows
from tasks.demo.training.quantisers import Quantiser
from vab.shapes import Float, Tensor

WINDOWS = (128, 512, 2048)
"""Samples of the spectrograms' windows: clicks need short ones, tones long ones."""
WEIGHTS = {
    "spectrum": 1.0,
    # A logarithm's gradient fades with the level: by it alone loud sounds stay too soft.
    "magnitude": 40.0,
    "waveform": 1.0,
    "penalty": 1.0,
    # Else few strong directions are all that the quantiser reaches, the others wither, and one level of codes says
    # what all levels say.
    "spread": 0.2,
}
"""Of the parts of the loss."""
FLOOR = 3e-3
"""Mean amplitude in a band below which spectra hardly differ: -50 dB of full scale. Foley world's room tone lies at
-60 dB: were it heard, half of all codes would spell noise that no frame foretells."""


class WaveformPieces(Dataset[Tensor]):
    """Random pieces of many waveforms held in memory; a piece is chosen by its seed alone."""

    def __init__(self, waveforms: np.ndarray, num_samples: int) -> None:
        self.waveforms = waveforms
        self.num_samples = num_samples

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> Float[Tensor, "B 1 L"]:
        """Pieces for (clip, seed) pairs; waveforms are stored as int16."""
        pieces = []
        for index, seed in requests:
            start = np.random.default_rng(seed).integers(self.waveforms.shape[1] - self.num_samples + 1)
            pieces.append(self.waveforms[index, start : start + self.num_samples])
        return torch.from_numpy(np.stack(pieces)).float().div(32768)[:, None]


class CodecReconstruction(nn.Module):
    """L1 on mel spectrograms, their logarithms and the waveform; the quantiser's penalty; the latents' spread."""

    num_batches: Tensor

    def __init__(self, model: Any, quantiser: Quantiser, *, warmup_batches: int) -> None:
        """Make an untrained network ready.

        Args:
            model: what ``build_encodec`` or ``build_dac`` gives.
            quantiser: around the same model's.
            warmup_batches: batches without quantiser: k-means on an untrained encoder's near-constant outputs would
                find one cluster only.
        """
        super().__init__()
        self.model = model
        self.warmup_batches = warmup_batches
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # torch's start is ten times louder than the sound, and would drown it
                nn.init.zeros_(parameter)
        self.quantiser = quantiser
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.long))
        self.spectrograms = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                model.sample_rate,
                n_fft=window,
                hop_length=window // 4,
                n_mels=window // 12,  # fine enough at 2048 to tell one pitch from the next
                power=1,
                normalized="window",
            )
            for window in WINDOWS
        )

    def forward(self, batch: Float[Tensor, "B 1 L"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one batch; the quantiser's codebooks learn by moving averages meanwhile."""
        encoded = self.model.encoder(batch)
        spread = distance_from_white(encoded)
        penalty = encoded.new_zeros(())
        if self.num_batches >= self.warmup_batches:
            if self.num_batches == self.warmup_batches:
                self.quantiser.start(encoded, generator=generator)
            encoded, penalty = self.quantiser(encoded, generator=generator)
        self.num_batches += 1
        decoded, target = _cut_alike(self.model.decoder(encoded), batch)
        waveform = F.l1_loss(decoded, target)
        spectrum, magnitude = self._spectral_distances(decoded, target)
        parts = {
            "spectrum": spectrum,
            "magnitude": magnitude,
            "waveform": waveform,
            "penalty": penalty,
            "spread": spread,
        }
        return {"loss": sum(WEIGHTS[name] * part for name, part in parts.items()), **parts}

    @torch.no_grad()
    def evaluate(self, batch: Float[Tensor, "B 1 L"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """The distances, SI-SDR in dB, and the share of each codebook's entries that a batch uses."""
        codes = self.quantiser.codes(self.model.encoder(batch))
        decoded, target = _cut_alike(self.model.decoder(self.quantiser.decode(codes)), batch)
        usage = torch.tensor([len(level.unique()) / self.quantiser.codebook_size for level in codes])
        spectrum, magnitude = self._spectral_distances(decoded, target)
        return {
            "spectrum": spectrum,
            "magnitude": magnitude,
            "waveform": F.l1_loss(decoded, target),
            "si_sdr": scale_invariant_signal_distortion_ratio(decoded, target).mean(),
            "codebook_usage": usage.mean(),
        }

    def _spectral_distances(self, decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean differences of log amplitudes (nepers) and of amplitudes."""
        logarithmic, linear = decoded.new_zeros(()), decoded.new_zeros(())
        for module in self.spectrograms:
            spectrogram: Any = module
            width = spectrogram.mel_scale.fb.sum(dim=0)[:, None]  # of each band, in bins
            ours, theirs = (spectrogram(sound) / width for sound in (decoded, target))
            logarithmic = logarithmic + F.l1_loss((ours + FLOOR).log(), (theirs + FLOOR).log())
            linear = linear + F.l1_loss(ours, theirs)
        return logarithmic / len(self.spectrograms), linear / len(self.spectrograms)


def distance_from_white(latents: Float[Tensor, "B D S"]) -> Float[Tensor, ""]:
    """Mean over dimensions of the squared differences between the latents' covariance and the identity."""
    rows = as_rows(latents)
    rows = rows - rows.mean(dim=0)
    covariance = rows.T @ rows / len(rows)
    return (covariance - torch.eye(len(covariance)).to(covariance)).square().sum() / len(covariance)


def _cut_alike(decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both at the shorter one's length: a codec's output may be some samples longer or shorter than its input."""
    length = min(decoded.shape[-1], target.shape[-1])
    return decoded[..., :length], target[..., :length]
