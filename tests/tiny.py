"""A whole system at toy size: random codec and tower by name, a small VAB, short rendered clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vab.codecs import load_codec
from vab.config import to_dict
from vab.media import write_clip
from vab.models.files import Component, ModelCard, save_model
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.visual import load_encoder

VISUAL_FPS = 5.0


def tiny_config(*, num_codebooks: int = 4) -> VABConfig:
    """A VAB that goes with the tiny codec and the tiny tower."""
    return VABConfig(
        num_layers=2,
        num_encoder_layers=1,
        width=32,
        num_heads=4,
        num_codebooks=num_codebooks,
        codebook_size=64,
        codebook_dim=16,
        visual_dim=load_encoder("tiny-clip").embed_dim,
        visual_fps=VISUAL_FPS,
    )


def tiny_components() -> dict[str, Component]:
    """The tiny codec and the tiny tower, as a card names them."""
    codec, encoder = load_codec("tiny-encodec"), load_encoder("tiny-clip")
    return {
        "codes": Component(codec.name, codec.fingerprint),
        "clip": Component(encoder.name, encoder.fingerprint),
    }


def write_tiny_model(
    path: Path,
    *,
    config: VABConfig | None = None,
    window_seconds: float = 1.0,
    overlap_seconds: float = 0.4,
) -> Path:
    """Random weights of a whole system in one file, for ``vab.load``."""
    torch.manual_seed(0)
    model = VAB(config or tiny_config())
    with torch.no_grad():  # far from uniform, so that frames and options matter
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    card = ModelCard(
        type="vab",
        config=to_dict(model.config),
        components=tiny_components(),
        sampling={"num_steps": 3, "cfg_scale": 2.0, "temperature": 1.0},
        window_seconds=window_seconds,
        overlap_seconds=overlap_seconds,
    )
    save_model(path, model, card)
    return path


def write_tiny_refiner(path: Path) -> Path:
    """A stage of one given and three made codebooks of the tiny codec, with random weights."""
    torch.manual_seed(0)
    config = replace(
        tiny_config(), num_layers=1, num_encoder_layers=1, has_experts=False, num_given_codebooks=1
    )
    card = ModelCard(
        type="vab-refiner",
        config=to_dict(config),
        components=tiny_components(),
        sampling={"num_steps": 2, "cfg_scale": 1.0, "temperature": 1.0},
        window_seconds=1.0,
        overlap_seconds=0.4,
    )
    save_model(path, VAB(config), card)
    return path


def write_tiny_clip(path: Path, seconds: float = 1.0, *, has_sound: bool = True, seed: int = 0) -> Path:
    """A small video with noise in picture and sound."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 255, (round(seconds * 10), 32, 32, 3), dtype=np.uint8)
    sound = 0.1 * generator.standard_normal((1, round(seconds * 16000))).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, frames, 10, sound if has_sound else None, 16000)
    return path
