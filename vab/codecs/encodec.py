"""EnCodec (arXiv 2210.13438) on the ``encodec`` package's modules: the only file that imports it.

The paper's codec is the 16 kHz, 50 Hz, 4 x 2048 network that was released with AudioGen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from vab.codecs.base import SAMPLE_RATES
from vab.codecs.frozen import FrozenCodec, library_warnings_hidden
from vab.codecs.pieces import Chain, reach
from vab.config import check_ranges
from vab.errors import ConfigError
from vab.shapes import Float, Tensor

if TYPE_CHECKING:
    from encodec.model import EncodecModel

_LOCAL_NORMS = ("none", "weight_norm")
"""Norms that look at one place at a time: any other would make pieces differ from the whole."""

_TRAINING_BUFFERS = ("inited", "cluster_size", "embed_avg")
"""Running means that move codebooks in training; neither encoding nor decoding reads them."""


@dataclass(frozen=True)
class EncodecConfig:
    """Constructor numbers of a mono EnCodec; the defaults are the paper's codec."""

    kind: ClassVar[str] = "encodec"

    sample_rate: int = 16_000
    n_filters: int = 64
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    """Strides of the decoder, first to last; the encoder has them in reverse."""
    dimension: int = 128
    num_codebooks: int = 4
    codebook_size: int = 2048
    """A power of two."""
    lstm: int = 2
    """LSTM layers; 0 = none."""
    causal: bool = False
    true_skip: bool = True
    """Residual blocks add their input as it is, not through a convolution."""
    pad_mode: str = "constant"
    norm: str = "weight_norm"
    n_residual_layers: int = 1
    kernel_size: int = 7
    residual_kernel_size: int = 3
    last_kernel_size: int = 7
    dilation_base: int = 2
    compress: int = 2

    def __post_init__(self) -> None:
        check_ranges(self, sample_rate=SAMPLE_RATES, hop_length=(1, 10**5))
        if self.norm not in _LOCAL_NORMS:
            raise ConfigError(f"norm must be one of {', '.join(_LOCAL_NORMS)}, not {self.norm!r}")
        if self.codebook_size < 2 or self.codebook_size & (self.codebook_size - 1):
            raise ConfigError(f"codebook_size must be a power of two, not {self.codebook_size}")

    @property
    def hop_length(self) -> int:
        """Samples a codec step."""
        return math.prod(self.ratios)

    @property
    def codebook_dim(self) -> int:
        """Width of a codebook vector: the network's latent width."""
        return self.dimension


_OTHER_FIELDS = ("sample_rate", "num_codebooks", "codebook_size")
SEANET_FIELDS = [field.name for field in fields(EncodecConfig) if field.name not in _OTHER_FIELDS]
"""Numbers of the encoder and the decoder, by the names that the package and audiocraft give them."""


def build_encodec(config: EncodecConfig) -> EncodecModel:
    """An untrained network of the ``encodec`` package, in training mode, codebooks to be set by k-means.

    ``EncodecModel`` has no constructor for these numbers, so its three parts are built here.
    """
    from encodec.model import EncodecModel
    from encodec.modules import SEANetDecoder, SEANetEncoder
    from encodec.quantization import ResidualVectorQuantizer

    shared: dict[str, Any] = {name: getattr(config, name) for name in SEANET_FIELDS}
    shared |= {"channels": 1, "ratios": list(config.ratios)}
    bits_per_step = config.num_codebooks * math.log2(config.codebook_size)
    kilobits_per_second = bits_per_step * config.sample_rate / config.hop_length / 1000
    with library_warnings_hidden():
        return EncodecModel(
            SEANetEncoder(**shared),
            SEANetDecoder(**shared),
            ResidualVectorQuantizer(config.dimension, config.num_codebooks, config.codebook_size),
            target_bandwidths=[kilobits_per_second],
            sample_rate=config.sample_rate,
            channels=1,
        )


def randomise_codebooks(model: EncodecModel) -> None:
    """Codebooks that an untrained encoder's outputs spread over, in place of the zeros before k-means."""
    noise = torch.randn(1, 1, model.sample_rate)
    with (
        torch.no_grad()
    ):  # in 64 bits, so that the order of additions, as threads change it, makes no difference
        latents = model.encoder.double()(noise.double())
    model.encoder.float()
    mean, std = latents.mean(dim=(0, 2)).float(), latents.std().float()
    layers: Any = model.quantizer.vq.layers
    for level, layer in enumerate(layers):
        codebook = layer.codebook
        codebook.normal_().mul_(std * 0.7**level)
        if level == 0:
            codebook.add_(mean)
        layer._codebook.embed_avg.copy_(codebook)
        layer._codebook.cluster_size.fill_(1)
        layer._codebook.inited.fill_(1)


def with_training_buffers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict completed by running means that agree with its codebooks, where it lacks them."""
    complete = dict(state)
    for key, embed in state.items():
        if key.startswith("quantizer.") and key.endswith("._codebook.embed"):
            prefix = key.removesuffix("embed")
            complete.setdefault(prefix + "inited", torch.ones(1))
            complete.setdefault(prefix + "cluster_size", torch.ones(len(embed)))
            complete.setdefault(prefix + "embed_avg", embed)
    return complete


def is_training_buffer(key: str) -> bool:
    """Whether a state-dict key matters to training alone."""
    return key.startswith("quantizer.") and key.rsplit(".", 1)[-1] in _TRAINING_BUFFERS


class EncodecCodec(FrozenCodec):
    """An EnCodec network behind the ``Codec`` protocol; ``model`` is the package's own ``EncodecModel``."""

    model: EncodecModel
    config: EncodecConfig

    @property
    def codebooks(self) -> Float[Tensor, "K V Dc"]:
        """Codebook vectors of the codebooks in use, a copy."""
        layers: Any = self.model.quantizer.vq.layers
        return torch.stack([layer.codebook for layer in layers[: self.num_codebooks]])

    def inference_state(self) -> dict[str, Tensor]:
        """The state dict without what only training reads."""
        return {key: value for key, value in self.model.state_dict().items() if not is_training_buffer(key)}

    def _encode_chain(self) -> Chain:
        layers = self.model.encoder.model
        before, lstm, skip, after = _cut_at_lstm(layers, otherwise=len(layers))

        quantise, count = self.model.quantizer.vq.encode, self.num_codebooks
        return Chain(
            before=before,
            after=lambda hidden: quantise(after(hidden), n_q=count).transpose(0, 1),
            lstm=lstm,
            lstm_skip=skip,
            in_per_step=self.hop_length,
            before_context=-(-reach(before) // self.hop_length),
            after_context=reach(after),
        )

    def _decode_chain(self) -> Chain:
        before, lstm, skip, after = _cut_at_lstm(self.model.decoder.model, otherwise=0)
        dequantise = self.model.quantizer.decode
        return Chain(
            before=lambda codes: before(dequantise(codes.transpose(0, 1))),
            after=after,
            lstm=lstm,
            lstm_skip=skip,
            out_per_step=self.hop_length,
            before_context=reach(before),
            after_context=reach(after),
        )


def _cut_at_lstm(layers: Any, otherwise: int) -> tuple[nn.Sequential, nn.LSTM | None, bool, nn.Sequential]:
    """The layers before the LSTM, the LSTM and whether it has a skip, the layers after.

    Without an LSTM the cut is at ``otherwise``.
    """
    from encodec.modules import SLSTM

    for index, layer in enumerate(layers):
        if isinstance(layer, SLSTM):
            return layers[:index], layer.lstm, layer.skip, layers[index + 1 :]
    return layers[:otherwise], None, False, layers[otherwise:]
