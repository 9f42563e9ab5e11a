"""AudioLDM2's published mel autoencoder and vocoder, read from their folders by ``diffusers`` and ``transformers``.

The only file that imports ``diffusers`` (extra ``vab[tiva]``). Mel of 64 bands at 100 columns a second, latents of 8
channels by 16 bands at 25 steps a second (TiVA section 4.1.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio

from vab import checkpoint
from vab.errors import WeightsError
from vab.shapes import Float, Tensor

SAMPLE_RATE, WINDOW, HOP, NUM_BANDS = 16_000, 1024, 160, 64
FLOOR = 1e-5
"""Of mel amplitudes before the logarithm."""
PIECE_STEPS = 256
"""Latent steps encoded or decoded at a time: 10.24 s, the length of AudioLDM2's training."""
CONTEXT_STEPS = 16
"""Latent steps to either side of a piece that are computed and cut off again."""


class AudioLDM2Autoencoder:
    """The mel autoencoder and the vocoder behind the ``AudioAutoencoder`` protocol."""

    sample_rate = SAMPLE_RATE

    def __init__(self, vae: Any, vocoder: Any, name: str) -> None:
        """Of a ``diffusers.AutoencoderKL`` of one channel and a ``transformers.SpeechT5HifiGan``."""
        self.vae, self.vocoder, self.name = vae, vocoder, name
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        """By which the autoencoder shrinks the mel in time and in frequency."""
        self.rate = SAMPLE_RATE / HOP / self.factor
        self.latent_shape: tuple[int, ...] = (vae.config.latent_channels, NUM_BANDS // self.factor)
        self._mel = torchaudio.functional.melscale_fbanks(
            WINDOW // 2 + 1, 0.0, SAMPLE_RATE / 2, NUM_BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
        ).to(vae.device)

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights."""
        state = {**self.vae.state_dict(prefix="vae."), **self.vocoder.state_dict(prefix="vocoder.")}
        description = {"type": "audioldm2", "scaling_factor": self.vae.config.scaling_factor}
        return checkpoint.fingerprint(description, state.items())

    @torch.no_grad()
    def encode(self, waveform: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B S C W"]:
        """Means of the posterior, scaled to about unit variance."""
        samples_per_step = HOP * self.factor
        waveform = waveform.to(self.vae.device).float()
        steps = -(-waveform.shape[2] // samples_per_step)
        mel = self._log_mel(F.pad(waveform[:, 0], (0, steps * samples_per_step - waveform.shape[2])))
        pieces = []
        for first, last, start, stop in _pieces(steps):
            posterior = self.vae.encode(mel[:, None, start * self.factor : stop * self.factor]).latent_dist
            pieces.append(posterior.mode()[:, :, first - start : last - start])
        return torch.cat(pieces, dim=2).transpose(1, 2) * self.vae.config.scaling_factor

    def decode_pieces(self, latents: Float[Tensor, "B S C W"]) -> Iterator[Float[Tensor, "B 1 l"]]:
        """Sound of the vocoder, 640 samples a step."""
        samples_per_step = HOP * self.factor
        scaled = latents.to(self.vae.device).float().transpose(1, 2) / self.vae.config.scaling_factor
        for first, last, start, stop in _pieces(latents.shape[1]):
            with torch.no_grad():
                mel = self.vae.decode(scaled[:, :, start:stop]).sample[:, 0]
                sound = self.vocoder(mel).reshape(len(mel), -1)[:, None]
            wanted = slice((first - start) * samples_per_step, (last - start) * samples_per_step)
            yield sound[:, :, wanted]

    def _log_mel(self, waveform: Float[Tensor, "B L"]) -> Float[Tensor, "B T 64"]:
        """The mel that the autoencoder was trained on: amplitudes, natural logarithm, reflected at the ends."""
        edge = (WINDOW - HOP) // 2
        mode = "reflect" if waveform.shape[1] > edge else "constant"
        padded = F.pad(waveform[:, None], (edge, edge), mode=mode)[:, 0]
        window = torch.hann_window(WINDOW, device=waveform.device)
        spectrum = torch.stft(padded, WINDOW, HOP, window=window, center=False, return_complex=True)
        return (spectrum.abs().transpose(1, 2) @ self._mel).clamp_min(FLOOR).log()


def load_audioldm2(folder: Path, *, device: str | torch.device = "cpu") -> AudioLDM2Autoencoder:
    """The autoencoder of a folder with ``vae`` and ``vocoder``, as AudioLDM2 is published.

    Raises:
        WeightsError: ``diffusers`` is not installed, or the folder lacks them.
    """
    try:
        from diffusers import AutoencoderKL
        from transformers import SpeechT5HifiGan
    except ImportError as error:
        raise WeightsError(
            f"{folder}: AudioLDM2 needs diffusers and transformers: pip install 'vab[tiva]' ({error})"
        ) from error
    try:
        how: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        vae = AutoencoderKL.from_pretrained(folder / "vae", **how)
        vocoder = SpeechT5HifiGan.from_pretrained(folder / "vocoder", **how)
    except Exception as error:  # both libraries have several
        raise WeightsError(
            f"{folder}: no AudioLDM2 with 'vae' and 'vocoder' in it ({checkpoint.one_line(error)})"
        ) from error
    for network in (vae, vocoder):
        network.eval().requires_grad_(False).to(device)
    return AudioLDM2Autoencoder(vae, vocoder, f"audioldm2:{folder}")


def _pieces(steps: int) -> Iterator[tuple[int, int, int, int]]:
    """Each piece's first and last step, and the stretch that is computed for it."""
    for first in range(0, steps, PIECE_STEPS):
        last = min(first + PIECE_STEPS, steps)
        yield first, last, max(0, first - CONTEXT_STEPS), min(steps, last + CONTEXT_STEPS)
