"""A TiVA at toy size that goes with the tiny spectral codec and the layers of the tiny tower."""

from vab.models.tiva.config import PredictorConfig, TiVAConfig
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
