"""The Descript Audio Codec (arXiv 2306.06546) on its own package: the only file that imports ``dac``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from vab.codecs.base import SAMPLE_RATES
from vab.codecs.frozen import FrozenCodec, library_warnings_hidden
from vab.codecs.pieces import Chain, reach
from vab.config import check_ranges, from_dict
from vab.errors import ConfigError, WeightsError
from vab.shapes import Float, Tensor

if TYPE_CHECKING:
    from dac.model import DAC


@dataclass(frozen=True)
class DacConfig:
    """Constructor numbers of a DAC; the defaults are the 16 kHz release."""

    kind: ClassVar[str] = "dac"

    sample_rate: int = 16_000
    encoder_dim: int = 64
    encoder_rates: tuple[int, ...] = (2, 4, 5, 8)
    latent_dim: int | None = None
    """None = encoder_dim doubled at every stride."""
    decoder_dim: int = 1536
    decoder_rates: tuple[int, ...] = (8, 5, 4, 2)
    num_codebooks: int = 12
    codebook_size: int = 1024
    codebook_dim: int = 8

    def __post_init__(self) -> None:
        check_ranges(self, sample_rate=SAMPLE_RATES, hop_length=(1, 10**5))
        if math.prod(self.encoder_rates) != math.prod(self.decoder_rates):
            raise ConfigError(
                f"encoder_rates {self.encoder_rates} and decoder_rates {self.decoder_rates} disagree"
            )

    @property
    def hop_length(self) -> int:
        """Samples a codec step."""
        return math.prod(self.encoder_rates)


_ARGUMENTS = {field.name: field.name for field in fields(DacConfig)} | {"num_codebooks": "n_codebooks"}
"""Of the package's ``DAC``, by field."""

DAC_44KHZ = DacConfig(
    sample_rate=44_100, encoder_rates=(2, 4, 8, 8), decoder_rates=(8, 8, 4, 2), num_codebooks=9
)
"""The 44.1 kHz, 8 kbps release."""


def build_dac(config: DacConfig) -> DAC:
    """An untrained network of the ``dac`` package."""
    with library_warnings_hidden():
        from dac.model import DAC

        return DAC(**{argument: getattr(config, field) for field, argument in _ARGUMENTS.items()})


def is_dac_file(content: Any) -> bool:
    """Whether a ``torch.load`` result is a weights file of the ``dac`` package."""
    return (
        isinstance(content, dict) and "state_dict" in content and "kwargs" in (content.get("metadata") or {})
    )


def read_dac(content: Mapping[str, Any], path: Path) -> tuple[DacConfig, dict[str, Tensor]]:
    """Configuration and state dict of a weights file of the ``dac`` package.

    ``DAC.load`` would first run the file as a ``torch.package``, which is code, and then load leniently.

    Raises:
        WeightsError: constructor arguments that are not a DAC's.
    """
    arguments = content["metadata"]["kwargs"]
    try:
        # The file lists every argument of the training run's class; those of training are passed over.
        values = {field: arguments[name] for field, name in _ARGUMENTS.items() if name in arguments}
        config = from_dict(DacConfig, values, source=str(path))
    except (ConfigError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its constructor arguments are not a DAC's ({error})") from error
    return config, dict(content["state_dict"])


class DacCodec(FrozenCodec):
    """A DAC network behind the ``Codec`` protocol; ``model`` is the package's own ``DAC``.

    Odd strides leave the network's output a few samples short at its end; zeros fill them.
    """

    model: DAC
    config: DacConfig

    @property
    def codebooks(self) -> Float[Tensor, "K V Dc"]:
        """Codebook vectors of the codebooks in use, a copy."""
        levels = self.model.quantizer.quantizers[: self.num_codebooks]
        return torch.stack([level.codebook.weight.detach() for level in levels])

    def _encode_chain(self) -> Chain:
        return Chain(
            before=self.model.encoder,
            after=lambda latents: self.model.quantizer(latents, self.num_codebooks)[1],
            in_per_step=self.hop_length,
            before_context=-(-reach([self.model.encoder]) // self.hop_length),
        )

    def _decode_chain(self) -> Chain:
        decoder: nn.Module = self.model.decoder
        return Chain(
            before=lambda codes: self.model.quantizer.from_codes(codes)[0],
            after=decoder,
            out_per_step=self.hop_length,
            after_context=reach([decoder]),
        )
