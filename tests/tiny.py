"""A whole system at toy size: random codec and tower by name, a small VAB, short rendered clips."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from tasks import cli
from vab.codecs import load_codec
from vab.config import to_dict
from vab.media import write_clip
from vab.models.files import Component, ModelCard, load_model, save_model
from vab.models.vab.classifier import MODEL_TYPE, Modality, VABClassifier, VABClassifierConfig
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.visual import load_encoder

VISUAL_FPS = 5.0
Module = TypeVar("Module", bound=torch.nn.Module)


def shaken(module: Module, scale: float = 0.2) -> Module:
    """Away from its start, where much is symmetric or silent, so that every path matters."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return module


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
    model = shaken(VAB(config or tiny_config()))
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


def write_tiny_classifier(
    path: Path, modality: Modality = "both", classes: Sequence[str] = ("dog", "rain", "bell")
) -> Path:
    """Random weights of a classifier, and beside them ``vab.safetensors``, the tiny model whose inputs it has."""
    _, card = load_model(write_tiny_model(path.with_name("vab.safetensors")))
    torch.manual_seed(0)
    config = VABClassifierConfig(list(classes), modality, tiny_config())
    save_model(path, shaken(VABClassifier(config)), replace(card, type=MODEL_TYPE, config=to_dict(config)))
    return path


def model_words() -> list[str]:
    """``tiny_config`` as options of ``vab pretrain``."""
    return [f"--model.{name}={str(value).lower()}" for name, value in vars(tiny_config()).items()]


def extract_tiny(source: Path, store: Path, seconds: float = 1.0, *more: str) -> Path:
    """The store of what ``vab extract`` makes of a folder or a list by the tiny codec and the tiny tower."""
    words = ["extract", str(source), "--store", str(store), "--codec", "tiny-encodec"]
    words += ["--encoder", "tiny-clip", "--visual-fps", f"{VISUAL_FPS:g}", "--clip-seconds", f"{seconds:g}"]
    assert cli.main([*words, "--device", "cpu", *more]) == 0
    return store


def write_tiny_clip(path: Path, seconds: float = 1.0, *, has_sound: bool = True, seed: int = 0) -> Path:
    """A small video with noise in picture and sound."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 255, (round(seconds * 10), 32, 32, 3), dtype=np.uint8)
    sound = 0.1 * generator.standard_normal((1, round(seconds * 16000))).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, frames, 10, sound if has_sound else None, 16000)
    return path
