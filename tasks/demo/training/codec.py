"""Training of a small codec: reconstruction in mel spectrograms of several resolutions, latents that use their room.

First all of it, then the decoder alone, on codes that stay: a step then needs no encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from vab.codecs.frozen import FrozenCodec
from vab.shapes import Float, Int, Tensor

WINDOWS = (128, 512, 2048)
"""Samples of the spectrograms' windows: clicks need short ones, tones long ones."""
WEIGHTS = {
    "spectrum": 1.0,
    # A logarithm's gradient fades with the level: by it alone loud sounds stay too soft.
    "magnitude": 40.0,
    "waveform": 1.0,
    "penalty": 1.0,
    # Else few strong directions are all that the quantiser reaches, the others stay unused, and one codebook says
    # what all codebooks say.
    "spread": 0.2,
}
"""Of the parts of the loss."""
FLOOR = 3e-3
"""Mean amplitude in a band below which spectra hardly differ: -50 dB of full scale. Foley world's room tone lies at
-60 dB: were it heard, half of all codes would encode noise that no frame predicts."""

CONTEXT_STEPS = 4
"""Codes that the decoder sees beside a piece, to either side: what it makes at an edge is unlike what it makes inside,
and does not count."""


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


@dataclass  # not frozen, or Fabric could not move it to a device
class CodedPieces:
    """Sound, and the codes of a little more than it."""

    waveform: Float[Tensor, "B 1 L"]
    codes: Int[Tensor, "B K S"]

    def __len__(self) -> int:
        return len(self.waveform)

    def to(self, device: torch.device | str) -> CodedPieces:
        """The same on another device."""
        return CodedPieces(self.waveform.to(device), self.codes.to(device))


class CodePieces(Dataset[CodedPieces]):
    """Random pieces of many waveforms and of their codes, held in memory; a piece is chosen by its seed alone."""

    def __init__(self, waveforms: np.ndarray, codes: np.ndarray, num_steps: int) -> None:
        self.waveforms = waveforms
        self.codes = codes
        self.num_steps = num_steps
        self.hop_length = waveforms.shape[1] // codes.shape[2]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> CodedPieces:
        """Pieces for (clip, seed) pairs; waveforms are stored as int16."""
        sounds, codes = [], []
        for index, seed in requests:
            last = self.codes.shape[2] - self.num_steps - CONTEXT_STEPS
            start = np.random.default_rng(seed).integers(CONTEXT_STEPS, last + 1)
            stop = start + self.num_steps
            sounds.append(self.waveforms[index, start * self.hop_length : stop * self.hop_length])
            codes.append(self.codes[index, :, start - CONTEXT_STEPS : stop + CONTEXT_STEPS])
        return CodedPieces(
            torch.from_numpy(np.stack(sounds)).float().div(32768)[:, None],
            torch.from_numpy(np.stack(codes)).long(),
        )


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
        self.distances = Distances(model.sample_rate)

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
        distances = self.distances(self.model.decoder(encoded), batch)
        return _weighted({**distances, "penalty": penalty, "spread": spread})

    @torch.no_grad()
    def evaluate(self, batch: Float[Tensor, "B 1 L"], *, generator: torch.Generator) -> dict[str, Tensor]:
        """The distances, SI-SDR in dB, and the share of each codebook's entries that a batch uses."""
        codes = self.quantiser.codes(self.model.encoder(batch))
        decoded = self.model.decoder(self.quantiser.decode(codes))
        usage = torch.tensor([len(level.unique()) / self.quantiser.codebook_size for level in codes])
        return {
            **self.distances(decoded, batch),
            "si_sdr": _si_sdr(decoded, batch),
            "codebook_usage": usage.mean(),
        }


class DecoderReconstruction(nn.Module):
    """The same distances, of what a decoder makes of codes that are given: only the decoder learns.

    All that was learnt from the codes, a generator above all, stays valid.
    """

    def __init__(self, codec: FrozenCodec, quantiser: Quantiser) -> None:
        """Freeze all but the decoder.

        Args:
            codec: whose decoder learns.
            quantiser: around the same codec's.
        """
        super().__init__()
        self.quantiser = quantiser
        self.requires_grad_(False)
        network: Any = codec.model
        self.decoder = network.decoder
        self.context = CONTEXT_STEPS * codec.hop_length
        self.distances = Distances(codec.sample_rate)

    def forward(self, batch: CodedPieces, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one batch."""
        return _weighted(self.distances(self._decode(batch), batch.waveform))

    @torch.no_grad()
    def evaluate(self, batch: CodedPieces, *, generator: torch.Generator) -> dict[str, Tensor]:
        """The distances, and SI-SDR in dB."""
        decoded = self._decode(batch)
        return {
            **self.distances(decoded, batch.waveform),
            "si_sdr": _si_sdr(decoded, batch.waveform),
        }

    def _decode(self, batch: CodedPieces) -> Float[Tensor, "B 1 L"]:
        """The piece without what its context sounds like."""
        with torch.no_grad():
            latents = self.quantiser.decode(batch.codes.transpose(0, 1))
        decoded: Tensor = self.decoder(latents)
        return decoded[..., self.context : self.context + batch.waveform.shape[-1]]


class Distances(nn.Module):
    """L1 on mel spectrograms of several resolutions, on their logarithms, and on the waveform."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.spectrograms = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                sample_rate,
                n_fft=window,
                hop_length=window // 4,
                n_mels=window // 12,  # fine enough at 2048 to tell one pitch from the next
                power=1,
                normalized="window",
            )
            for window in WINDOWS
        )

    def forward(self, decoded: Float[Tensor, "B 1 l"], target: Float[Tensor, "B 1 L"]) -> dict[str, Tensor]:
        """Mean differences: ``spectrum`` of log amplitudes in nepers, ``magnitude`` of amplitudes, ``waveform``."""
        decoded, target = _cut_alike(decoded, target)
        logarithmic, linear = decoded.new_zeros(()), decoded.new_zeros(())
        for module in self.spectrograms:
            spectrogram: Any = module
            width = spectrogram.mel_scale.fb.sum(dim=0)[:, None]  # of each band, in bins
            ours, theirs = (spectrogram(sound) / width for sound in (decoded, target))
            logarithmic = logarithmic + F.l1_loss((ours + FLOOR).log(), (theirs + FLOOR).log())
            linear = linear + F.l1_loss(ours, theirs)
        return {
            "spectrum": logarithmic / len(WINDOWS),
            "magnitude": linear / len(WINDOWS),
            "waveform": F.l1_loss(decoded, target),
        }


def _weighted(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss, and what it is made of."""
    return {"loss": torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum(), **parts}


def _si_sdr(decoded: Tensor, target: Tensor) -> Tensor:
    """Mean of a batch, dB."""
    return scale_invariant_signal_distortion_ratio(*_cut_alike(decoded, target)).mean()


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
