"""Sizes of TiVA and of its layout predictor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vab.config import check_ranges
from vab.decoding.diffusion import NoiseSchedule
from vab.features.info import StreamInfo


@dataclass(frozen=True)
class PredictorConfig:
    """Everything needed to build a layout predictor; the paper names the layers of CLIP and no other size."""

    visual_layers: int = 3
    """Layers of the image tower in the stream "clip-layers"."""
    visual_cells: int = 4
    """Cells to which the patches of a layer are pooled."""
    visual_dim: int = 768
    """E, numbers in the feature of a class token or a cell."""
    visual_fps: float = 10.0
    """Frames a second."""
    layout_stream: str = "layout"
    """Stream that is predicted and followed: "layout", or one that stands in its place, such as "onset-curve"."""
    layout_rate: float = 10.0
    """Rows of the layout a second."""
    layout_bands: int = 5
    """Numbers in a row."""
    width: int = 512
    """D, numbers a position."""
    num_heads: int = 8
    """H, attention heads."""
    num_encoder_layers: int = 4
    """Of windowed self-attention over the patches."""
    num_decoder_layers: int = 4
    """Of self-, cross- and windowed self-attention over the queries."""
    attention: tuple[Literal["everywhere", "patches", "near"], ...] = ("everywhere", "patches", "near")
    """Which of the three they have: over all rows, to the patches, in windows. Without "patches" no encoder either."""
    class_layers: int | None = None
    """Layers whose class tokens the queries see, the last ones; None = all."""
    window_seconds: float = 1.6
    """How far windowed attention looks, to both sides together."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            visual_layers=(1, 100),
            visual_cells=(1, 1000),
            visual_dim=(1, 10**5),
            visual_fps=(0.01, 1000),
            layout_rate=(0.1, 100),
            layout_bands=(1, 64),
            width=(1, 10**5),
            num_heads=(1, 1000),
            num_encoder_layers=(0, 1000),
            num_decoder_layers=(1, 1000),
            class_layers=(1, self.visual_layers),
            window_seconds=(0.01, 3600),
        )
        if self.width % (2 * self.num_heads):
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads of even width")

    @property
    def streams(self) -> dict[str, float]:
        """Streams that it is trained on, and at how many steps a second."""
        return {self.layout_stream: self.layout_rate, "clip-layers": self.visual_fps}

    def problems(self, streams: Mapping[str, StreamInfo]) -> list[str]:
        """What of it does not fit a store's streams."""
        layout, features = streams[self.layout_stream], streams["clip-layers"]
        tokens = (self.visual_layers * (1 + self.visual_cells), self.visual_dim)
        found = []
        if layout.shape != (self.layout_bands,):
            found.append(f"layout_bands is {self.layout_bands}, the store has {list(layout.shape)}")
        if features.shape != tokens:
            found.append(
                f"visual_layers * (1 + visual_cells) and visual_dim are {list(tokens)}, the store has "
                f"{list(features.shape)}"
            )
        return found


@dataclass(frozen=True)
class TiVAConfig:
    """Everything needed to build the network; saved inside its weights file."""

    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    """The layout predictor; the generator sees the same frames and layouts."""
    latent_shape: tuple[int, ...] = (8, 16)
    """Of one step: (channels,), or (channels, bands) where latents keep a frequency axis."""
    latent_rate: float = 25.0
    """Latent steps a second."""
    widths: tuple[int, ...] = (256, 512, 768, 768)
    """Channels at each level of the U; each is half as long as the one before."""
    num_blocks: int = 2
    """Blocks a level on the way down; one more on the way up."""
    num_heads: int = 8
    """H, attention heads."""
    semantic_dim: int = 768
    """Width of the semantic embeddings."""
    schedule: NoiseSchedule = field(default_factory=NoiseSchedule)
    """Noise of the training."""

    def __post_init__(self) -> None:
        check_ranges(
            self, latent_rate=(0.1, 10**4), num_blocks=(1, 100), num_heads=(1, 1000), semantic_dim=(1, 10**5)
        )
        if len(self.latent_shape) not in (1, 2) or min(self.latent_shape) < 1:
            raise ValueError(f"latent_shape must be [channels] or [channels, bands], not {self.latent_shape}")
        if not self.widths or any(width < 1 or width % (2 * self.num_heads) for width in self.widths):
            raise ValueError(f"widths {self.widths} must divide into {self.num_heads} heads of even width")
        if self.num_bands > 1 and self.num_bands % 2 ** (len(self.widths) - 1):
            raise ValueError(f"{self.num_bands} bands cannot be halved {len(self.widths) - 1} times")

    @property
    def num_bands(self) -> int:
        """Bands on the latents' frequency axis; 1 where they have none."""
        return math.prod(self.latent_shape[1:])

    @property
    def streams(self) -> dict[str, float]:
        """Streams that it is trained on, and at how many steps a second."""
        return {"latents": self.latent_rate, **self.predictor.streams}

    def problems(self, streams: Mapping[str, StreamInfo]) -> list[str]:
        """What of it does not fit a store's streams."""
        latents = streams["latents"]
        found = [f"model.predictor.{problem}" for problem in self.predictor.problems(streams)]
        if latents.shape != tuple(self.latent_shape):
            found.append(
                f"model.latent_shape is {list(self.latent_shape)}, the store has {list(latents.shape)}"
            )
        return found
