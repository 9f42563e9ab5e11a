"""A MaskVAT of toy size, for the tiny codec and the tiny tower."""

from typing import Any

import torch
from tiny import shaken

from vab.features.batch import FeatureBatch
from vab.features.info import StreamSize
from vab.models.maskvat.config import MaskVATConfig
from vab.models.maskvat.model import MaskVAT
from vab.models.scav.config import SCAVConfig
from vab.visual import load_encoder

SECONDS = 1.0
LENGTHS = {"codes": 50, "clip": 5, "sync": 12, "beats": 7, "demo-audio": 10}


def tiny_maskvat_config(network: Any, **changes: Any) -> MaskVATConfig:
    """Of one of the three networks, with the conditions "clip" and "sync" and, where it may, the target "beats"."""
    sizes = {
        "network": network,
        "num_layers": 2,
        "num_encoder_layers": 1,
        "width": 16,
        "num_heads": 4,
        "feed_forward_ratio": 2,
        "num_codebooks": 4,
        "codebook_size": 64,
        "codebook_dim": 16,
        "frame_rate": 50.0,
        "conditions": {
            "clip": StreamSize(load_encoder("tiny-clip").embed_dim, 5.0),
            "sync": StreamSize(6, 12.5),
        },
        "targets": {} if network == "adaln" else {"beats": StreamSize(7, 6.25)},
    }
    return MaskVATConfig(**{**sizes, **changes})


def tiny_maskvat(network: Any, **changes: Any) -> MaskVAT:
    """Random weights, far from uniform, so that conditions and options matter."""
    torch.manual_seed(0)
    return shaken(MaskVAT(tiny_maskvat_config(network, **changes)).eval())


def tiny_scav_config() -> SCAVConfig:
    """Of the same streams."""
    config = tiny_maskvat_config("hybrid")
    return SCAVConfig(
        {"clip": config.conditions["clip"]}, config.targets, num_layers=1, width=16, num_heads=4, embed_dim=8
    )


def tiny_batch(config: MaskVATConfig, size: int = 2) -> FeatureBatch:
    """Random clips with the streams that it is trained on."""
    generator = torch.Generator().manual_seed(0)
    widths = {name: each.width for name, each in (config.conditions | config.targets).items()}
    streams = {
        name: torch.randn(size, LENGTHS[name], width, generator=generator) for name, width in widths.items()
    }
    shape = (size, config.num_codebooks, LENGTHS["codes"])
    streams["codes"] = torch.randint(0, config.codebook_size, shape, generator=generator)
    is_valid = {name: torch.ones(size, LENGTHS[name], dtype=torch.bool) for name in streams}
    return FeatureBatch(streams, is_valid, tuple(map(str, range(size))), ((),) * size)
