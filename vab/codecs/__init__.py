"""Waveform to codes and back: EnCodec and DAC behind one protocol."""

from vab.codecs.base import Codec
from vab.codecs.dac import DacCodec, DacConfig, build_dac
from vab.codecs.encodec import EncodecCodec, EncodecConfig, build_encodec
from vab.codecs.loading import PRESETS, load_codec, save_codec

__all__ = [
    "PRESETS",
    "Codec",
    "DacCodec",
    "DacConfig",
    "EncodecCodec",
    "EncodecConfig",
    "build_dac",
    "build_encodec",
    "load_codec",
    "save_codec",
]
