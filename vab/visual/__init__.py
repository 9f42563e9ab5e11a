"""Frames, and texts, to features: open_clip's towers behind two protocols."""

from vab.visual.base import TextEncoder, VisualEncoder, text_encoder
from vab.visual.layers import LayeredEncoder, load_visual
from vab.visual.loading import load_encoder, save_encoder
from vab.visual.open_clip import OpenClipEncoder, build_open_clip
from vab.visual.preprocess import Preprocess

__all__ = [
    "LayeredEncoder",
    "OpenClipEncoder",
    "Preprocess",
    "TextEncoder",
    "VisualEncoder",
    "build_open_clip",
    "load_encoder",
    "load_visual",
    "save_encoder",
    "text_encoder",
]
