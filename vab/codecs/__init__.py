"""Waveform to codes and back: EnCodec, DAC and a spectral codec behind one protocol."""

from vab.codecs.base import Codec
from vab.codecs.dac import DacCodec, DacConfig, build_dac
from vab.codecs.encodec import EncodecCodec, EncodecConfig, build_encodec
from vab.codecs.loading import PRESETS, load_codec, save_codec
from vab.codecs.spectral import SpectralCodec, SpectralConfig, build_spectral

__all__ = [
    "PRESETS",
    "Codec",
    "DacCodec",
    "DacConfig",
    "EncodecCodec",
    "EncodecConfig",
    "SpectralCodec",
    "SpectralConfig",
    "build_dac",
    "build_encodec",
    "build_spectral",
    "load_codec",
    "save_codec",
]
