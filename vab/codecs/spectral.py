"""A codec that works at its own step rate: MDCT, ConvNeXt, residual quantiser, ConvNeXt, inverse MDCT.

The first codebooks hold what a small encoder makes of the log-mel spectrum alone. That is free of phase, which turns at
every step of a steady tone and which no model can predict from frames; phase and all detail are in the other codebooks.

Convolutions at the sample rate, as EnCodec and DAC have them, cost most of a training step and learn pitch slowly on a
CPU. Here every layer runs once a codec step. The blocks are ConvNeXt's (arXiv 2201.03545) as Vocos uses them for audio
(arXiv 2306.00814); the transform is the MDCT of Princen, Johnson and Bradley (1987) with a sine window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.functional import melscale_fbanks

from vab.codecs.base import SAMPLE_RATES
from vab.codecs.frozen import FrozenCodec
from vab.codecs.pieces import Chain, reach
from vab.config import check_ranges
from vab.shapes import Float, Int, Tensor

COMPRESSION = 0.5
"""Power to which amplitudes are raised before the encoder: quiet partials count."""
MEL_FLOOR = 1e-3
"""Mean amplitude in a mel band below which spectra hardly differ."""
MAX_LOG_AMPLITUDE = 5.0
"""Bound on the decoder's log amplitudes: an untrained network does not overflow."""


@dataclass(frozen=True)
class SpectralConfig:
    """Constructor numbers of a spectral codec; the defaults are the bundled one's."""

    kind: ClassVar[str] = "spectral"

    sample_rate: int = 16_000
    hop_length: int = 320
    width: int = 256
    """Channels of the blocks."""
    expansion: int = 3
    """Inner width of a block, in widths."""
    num_encoder_blocks: int = 4
    num_decoder_blocks: int = 6
    num_mels: int = 64
    """Bands of the log-mel spectrum, all that the coarse encoder sees."""
    coarse_width: int = 128
    """Channels of the coarse encoder's blocks."""
    coarse_dim: int = 32
    """Numbers in the coarse part of a latent vector; the detail comes after it."""
    detail_dim: int = 48
    """Numbers in the other part."""
    num_coarse_codebooks: int = 4
    """Codebooks of the coarse part; the others are of the detail."""
    num_codebooks: int = 12
    codebook_size: int = 256

    def __post_init__(self) -> None:
        check_ranges(self, sample_rate=SAMPLE_RATES, hop_length=(1, 4096))

    @property
    def codebook_dim(self) -> int:
        """Numbers in a latent vector and in a codebook vector."""
        return self.coarse_dim + self.detail_dim


class MDCT(nn.Module):
    """Modified discrete cosine transform and its sine counterpart; step s is centred on hop s."""

    window: Tensor
    cosines: Tensor
    sines: Tensor

    def __init__(self, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        samples = torch.arange(2 * hop_length, dtype=torch.float64)[:, None] + 0.5
        bins = torch.arange(hop_length, dtype=torch.float64) + 0.5
        angles = math.pi / hop_length * (samples + hop_length / 2) * bins
        scale = math.sqrt(2 / hop_length)
        window = torch.sin(math.pi / (2 * hop_length) * samples[:, 0])
        tables = {"window": window, "cosines": angles.cos() * scale, "sines": angles.sin() * scale}
        for name, values in tables.items():
            self.register_buffer(name, values.float(), persistent=False)

    def forward(
        self, waveform: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B S N"], Float[Tensor, "B S N"]]:
        """Cosine and sine coefficients of S = L / hop_length steps."""
        hop = self.hop_length
        frames = F.pad(waveform, (hop // 2, hop - hop // 2)).unfold(-1, 2 * hop, hop) * self.window
        with torch.autocast(waveform.device.type, enabled=False):  # bfloat16 would bury what is 48 dB down
            return frames @ self.cosines, frames @ self.sines

    def inverse(self, coefficients: Float[Tensor, "B S N"]) -> Float[Tensor, "B L"]:
        """Samples of the inner S - 2 steps: the first and last step only complete their neighbours."""
        hop = self.hop_length
        frames = (coefficients @ self.cosines.T) * self.window
        batch, steps, _ = frames.shape
        first, second = (half.reshape(batch, -1) for half in frames.chunk(2, dim=-1))
        overlapped = F.pad(first, (0, hop)) + F.pad(second, (hop, 0))
        return overlapped[:, hop + hop // 2 : hop + hop // 2 + (steps - 2) * hop]


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution over time, then a feed-forward network over channels."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(0.2 * torch.ones(width))

    def forward(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        """The block with its residual connection."""
        mixed = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.down(F.gelu(self.up(self.norm(mixed))))


class Encoder(nn.Module):
    """Blocks between two linears; a latent has mean 0 and variance 1, so that none grows out of a codebook's reach."""

    def __init__(self, num_inputs: int, width: int, dim: int, num_blocks: int, expansion: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(num_inputs, width)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(width, expansion) for _ in range(num_blocks)))
        self.norm = nn.LayerNorm(width)
        self.project_out = nn.Linear(width, dim)

    def forward(self, x: Float[Tensor, "B S N"]) -> Float[Tensor, "B S D"]:
        """One latent a step, float32."""
        latents = self.project_out(self.norm(self.blocks(self.project_in(x)))).float()
        return F.layer_norm(latents, latents.shape[-1:])


class ResidualQuantiser(nn.Module):
    """Euclidean codebooks, each for what the ones before it leave."""

    codebooks: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.register_buffer("codebooks", torch.randn(num_codebooks, codebook_size, codebook_dim) / 2)

    def encode(self, latents: Float[Tensor, "B S D"], num_codebooks: int) -> Int[Tensor, "B K S"]:
        """The nearest entries of the first codebooks."""
        residual, codes = latents, []
        for codebook in self.codebooks[:num_codebooks]:
            nearest = nearest_entries(residual, codebook)
            residual = residual - codebook[nearest]
            codes.append(nearest)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Int[Tensor, "B K S"]) -> Float[Tensor, "B S D"]:
        """Sum of the entries."""
        return torch.stack([self.codebooks[k][codes[:, k]] for k in range(codes.shape[1])]).sum(dim=0)


def nearest_entries(vectors: Float[Tensor, "... D"], codebook: Float[Tensor, "V D"]) -> Int[Tensor, "..."]:
    """Index of the entry at the least Euclidean distance."""
    return (codebook.square().sum(dim=1) - 2 * vectors @ codebook.T).argmin(dim=-1)


class SpectralNetwork(nn.Module):
    """Encoder, quantiser and decoder."""

    bands: Tensor

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.config = config
        width, hop = config.width, config.hop_length
        self.mdct = MDCT(hop)
        with torch.device("cpu"):  # it looks at its values, which a network of shapes alone has not
            bands = melscale_fbanks(hop, 0.0, config.sample_rate / 2, config.num_mels, config.sample_rate)
        self.register_buffer("bands", bands / bands.sum(dim=0).clamp_min(1e-3), persistent=False)
        depth = {"num_blocks": config.num_encoder_blocks, "expansion": config.expansion}
        self.coarse_encoder = Encoder(config.num_mels, config.coarse_width, config.coarse_dim, **depth)
        self.detail_encoder = Encoder(3 * hop, width, config.detail_dim, **depth)
        self.quantiser = ResidualQuantiser(config.num_codebooks, config.codebook_size, config.codebook_dim)
        nn.init.zeros_(self.quantiser.codebooks)
        for codebooks in (self.coarse_codebooks, self.detail_codebooks):
            nn.init.normal_(codebooks, std=0.5)
        self.decoder_in = nn.Conv1d(config.codebook_dim, width, 3, padding=1)
        self.decoder = nn.Sequential(
            *(ConvNeXtBlock(width, config.expansion) for _ in range(config.num_decoder_blocks))
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.decoder_out = nn.Linear(width, 2 * hop)

    def encode(self, waveform: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B D S"]:
        """Latents, one a hop: the coarse part, then the detail."""
        cosines, sines = self.mdct(waveform[:, 0])
        power = cosines.square() + sines.square()
        log_power = 0.15 * (power + 1e-8).log() + 1.5
        seen = torch.cat([2 * compress(cosines), 2 * compress(sines), log_power], dim=-1)
        parts = [self.coarse_encoder(self.log_mel(power)), self.detail_encoder(seen)]
        return torch.cat(parts, dim=-1).transpose(1, 2)

    def log_mel(self, power: Float[Tensor, "B S N"]) -> Float[Tensor, "B S M"]:
        """Log amplitudes of the mel bands, in units of about their spread."""
        with torch.autocast(power.device.type, enabled=False):
            return 0.5 * (power.float() @ self.bands + MEL_FLOOR**2).sqrt().log() + 2

    @property
    def coarse_codebooks(self) -> Float[Tensor, "k V C"]:
        """What the coarse codebooks hold, a view; they are zero in the detail."""
        return self.quantiser.codebooks[: self.config.num_coarse_codebooks, :, : self.config.coarse_dim]

    @property
    def detail_codebooks(self) -> Float[Tensor, "k V D"]:
        """What the other codebooks hold, a view; they are zero in the coarse part."""
        return self.quantiser.codebooks[self.config.num_coarse_codebooks :, :, self.config.coarse_dim :]

    def decode_spectrum(self, latents: Float[Tensor, "B D S"]) -> Float[Tensor, "B S+2 N"]:
        """MDCT coefficients of the latents' steps and of one more to either side."""
        x = self.decoder(self.decoder_in(F.pad(latents, (1, 1))).transpose(1, 2))
        amplitude, sign = self.decoder_out(self.decoder_norm(x)).float().chunk(2, dim=-1)
        return amplitude.clamp(max=MAX_LOG_AMPLITUDE).exp() * sign.tanh()

    def decode(self, latents: Float[Tensor, "B D S"]) -> Float[Tensor, "B 1 L"]:
        """S * hop_length samples."""
        return self.mdct.inverse(self.decode_spectrum(latents))[:, None]


def compress(coefficients: Tensor) -> Tensor:
    """Signed square root; its slope stays finite at zero."""
    return coefficients.sign() * (coefficients.abs() + 1e-6) ** COMPRESSION


class SpectralCodec(FrozenCodec):
    """A spectral network behind the ``Codec`` protocol."""

    model: SpectralNetwork
    config: SpectralConfig

    @property
    def codebooks(self) -> Float[Tensor, "K V Dc"]:
        """Codebook vectors in use, a copy."""
        return self.model.quantiser.codebooks[: self.num_codebooks].clone()

    def encoder_chain(self) -> Chain:
        """Samples to the latents before the quantiser [B, D, S]."""
        return Chain(
            before=self.model.encode,
            after=nn.Identity(),
            in_per_step=self.hop_length,
            # The transform's window reaches half a step further.
            before_context=reach([self.model.detail_encoder.blocks]) + 1,
        )

    def decoder_chain(self) -> Chain:
        """Latents [B, D, S], quantised or not, to samples."""
        return Chain(
            before=nn.Identity(),
            after=self.model.decode,
            out_per_step=self.hop_length,
            # Symmetric kernels, and the transform's overlap.
            after_context=reach([self.model.decoder_in, self.model.decoder]) // 2 + 1,
        )

    def _encode_chain(self) -> Chain:
        quantise, count = self.model.quantiser.encode, self.num_codebooks
        return replace(self.encoder_chain(), after=lambda latents: quantise(latents.transpose(1, 2), count))

    def _decode_chain(self) -> Chain:
        dequantise = self.model.quantiser.decode
        return replace(self.decoder_chain(), before=lambda codes: dequantise(codes).transpose(1, 2))
