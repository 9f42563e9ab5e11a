"""What every audio autoencoder offers: waveform to continuous latents and back; and latents as a sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vab.shapes import Float, Tensor


@runtime_checkable
class AudioAutoencoder(Protocol):
    """A frozen autoencoder on one device; inputs of any length, long ones in pieces so that memory stays bounded."""

    name: str
    sample_rate: int
    """Samples a second, mono."""
    rate: float
    """Latent steps a second."""
    latent_shape: tuple[int, ...]
    """Of one step: (channels,), or (channels, bands) where the latents keep a frequency axis."""

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights: ties stores to autoencoders."""

    def encode(self, waveform: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B S ..."]:
        """Latents of about unit variance, S = ceil(L / sample_rate * rate); the tail is zero-padded."""

    def decode_pieces(self, latents: Float[Tensor, "B S ..."]) -> Iterator[Float[Tensor, "B 1 l"]]:
        """The sound in consecutive pieces, S / rate seconds in all."""


@dataclass(frozen=True)
class LatentSound:
    """A sound held as latents, decoded when asked for."""

    latents: Float[Tensor, "S ..."]
    autoencoder: AudioAutoencoder
    num_samples: int
    """L; what the last step gives beyond it is cut."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.autoencoder.sample_rate

    def pieces(self) -> Iterator[Float[Tensor, "1 l"]]:
        """The sound in consecutive pieces, on the CPU, within [-1, 1]."""
        left = self.num_samples
        for piece in self.autoencoder.decode_pieces(self.latents[None]):
            if left > 0:
                yield piece[0, :, :left].float().cpu().clamp(-1, 1)
            left -= piece.shape[-1]
