"""Waveform to codes and back: EnCodec, DAC and a spectral codec behind one protocol."""

from vab.codecs.base import Codec
from vab.codecs.dac import DacConfig
from vab.codecs.encodec import EncodecConfig
from vab.codecs.loading import load_codec, save_codec
from vab.codecs.spectral import SpectralCodec, SpectralConfig

__all__ = [
    "Codec",
    "DacConfig",
    "EncodecConfig",
    "SpectralCodec",
    "SpectralConfig",
    "load_codec",
    "save_codec",
]
