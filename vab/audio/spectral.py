"""The spectral codec's continuous latents, before its quantiser, as an autoencoder.

Each latent vector has mean 0 and variance 1 by construction, so diffusion needs no scale. Decoded without the quantiser
they lose less: 3.0 dB of log-mel distance on real clips against 3.3 dB of all 12 codebooks.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from vab.codecs.spectral import SpectralCodec
from vab.shapes import Float, Tensor


class SpectralAutoencoder:
    """The two halves of a spectral codec behind the ``AudioAutoencoder`` protocol."""

    def __init__(self, codec: SpectralCodec) -> None:
        self.codec = codec
        self.name = codec.name
        self.sample_rate = codec.sample_rate
        self.rate = codec.frame_rate
        self.latent_shape: tuple[int, ...] = (codec.codebook_dim,)

    @property
    def fingerprint(self) -> str:
        """The codec's own."""
        return self.codec.fingerprint

    @torch.no_grad()
    def encode(self, waveform: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B S D"]:
        """Latents; S = ceil(L / hop_length)."""
        codec = self.codec
        padded = F.pad(waveform.to(codec.device).float(), (0, -waveform.shape[2] % codec.hop_length))
        pieces = codec.encoder_chain().pieces(padded, codec.piece_steps)
        return torch.cat(list(pieces), dim=2).transpose(1, 2)

    def decode_pieces(self, latents: Float[Tensor, "B S D"]) -> Iterator[Float[Tensor, "B 1 l"]]:
        """S * hop_length samples in pieces."""
        codec = self.codec
        pieces = codec.decoder_chain().pieces(
            latents.to(codec.device).float().transpose(1, 2), codec.piece_steps
        )
        while True:
            with torch.no_grad():  # not around the loop: it would stay on in the caller while this waits
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece
