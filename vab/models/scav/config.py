"""Size of a SCAV encoder and the streams that it compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vab.config import check_ranges
from vab.features.info import StreamInfo, StreamSize
from vab.models.base import width_problems


@dataclass(frozen=True)
class SCAVConfig:
    """Everything needed to build the network; the paper gives none of the sizes."""

    visual: dict[str, StreamSize] = field(default_factory=lambda: {"clip": StreamSize(768, 25.0)})
    """The stream of frames, one; its steps are those at which the two are compared."""
    audio: dict[str, StreamSize] = field(default_factory=lambda: {"beats": StreamSize(768, 6.25)})
    """The stream of audio, one, brought to the same steps by nearest neighbour."""
    num_layers: int = 2
    """Transformer blocks of each encoder."""
    width: int = 512
    """D, numbers a position."""
    num_heads: int = 8
    """H, attention heads."""
    feed_forward_ratio: int = 4
    """Inner width of the feed-forward networks, in widths."""
    embed_dim: int = 128
    """P, numbers of a step in the common space."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            num_layers=(0, 1000),
            width=(1, 10**5),
            num_heads=(1, 1000),
            feed_forward_ratio=(1, 100),
            embed_dim=(1, 10**5),
        )
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if len(self.visual) != 1 or len(self.audio) != 1 or self.visual.keys() == self.audio.keys():
            raise ValueError("visual and audio must be one stream each, such as 'clip' and 'beats'")

    @property
    def conditions(self) -> dict[str, StreamSize]:
        """Streams that are made of frames."""
        return self.visual

    @property
    def streams(self) -> dict[str, float]:
        """Streams that it is trained on, and at how many steps a second."""
        return {name: size.rate for name, size in (self.visual | self.audio).items()}

    def problems(self, streams: Mapping[str, StreamInfo]) -> list[str]:
        """What of it does not fit a store's streams."""
        return [
            *width_problems("visual", self.visual, streams),
            *width_problems("audio", self.audio, streams),
        ]
