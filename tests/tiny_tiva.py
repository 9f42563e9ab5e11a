"""A TiVA at toy size that goes with the tiny spectral codec and the layers of the tiny tower."""

from pathlib import Path

import torch

from vab.audio.loading import load_autoencoder
from vab.config import to_dict
from vab.models.files import Component, ModelCard, save_model
from vab.models.tiva.config import PredictorConfig, TiVAConfig
from vab.models.tiva.model import TiVA
from vab.visual import load_visual

TINY_LAYERS = "layers:tiny-clip"


def tiny_predictor_config() -> PredictorConfig:
    features = load_visual(TINY_LAYERS).feature_shape
    return PredictorConfig(
        visual_layers=features[0] // 5,
        visual_dim=features[1],
        visual_fps=5.0,
        width=32,
        num_heads=4,
        num_encoder_layers=1,
        num_decoder_layers=1,
    )


def tiny_tiva_config() -> TiVAConfig:
    return TiVAConfig(
        predictor=tiny_predictor_config(),
        latent_shape=(8,),
        latent_rate=50.0,
        widths=(16, 32),
        num_blocks=1,
        num_heads=4,
        semantic_dim=32,
    )


def write_tiny_tiva(path: Path) -> Path:
    """Random weights of a whole TiVA in one file, for ``vab.load``."""
    torch.manual_seed(0)
    autoencoder, layers = load_autoencoder("tiny-spectral"), load_visual(TINY_LAYERS)
    card = ModelCard(
        type="tiva",
        config=to_dict(tiny_tiva_config()),
        components={
            "latents": Component(autoencoder.name, autoencoder.fingerprint),
            "clip-layers": Component(layers.name, layers.fingerprint),
        },
        sampling={"num_steps": 3},
        window_seconds=1.0,
        overlap_seconds=0.4,
    )
    save_model(path, TiVA(tiny_tiva_config()), card)
    return path
