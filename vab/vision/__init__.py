"""Frames and words to features of one space: open_clip's towers behind one protocol."""

from vab.vision.base import VisualEncoder
from vab.vision.loading import load_encoder, save_encoder
from vab.vision.open_clip import OpenClipEncoder, build_open_clip
from vab.vision.preprocess import Preprocess

__all__ = [
    "OpenClipEncoder",
    "Preprocess",
    "VisualEncoder",
    "build_open_clip",
    "load_encoder",
    "save_encoder",
]
