"""Sizes of a V-AURA; the defaults are the published model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vab.config import check_ranges
from vab.decoding.patterns import PatternName
from vab.features.info import StreamInfo, StreamSize
from vab.models.base import codes_problems, width_problems

Fusion = Literal["concat", "prepend"]
"""Frames beside the codes of their moment, channel by channel; or before all codes, in a sequence (table III)."""


@dataclass(frozen=True)
class VAURAConfig:
    """Everything needed to build the network; saved inside its weights file."""

    num_layers: int = 24
    """Decoder layers."""
    width: int = 1536
    """D, numbers a position: those of the codes and, where they are fused, those of the frames."""
    fused_visual_width: int = 512
    """How many of them are the frames', where ``fusion`` is concat."""
    num_heads: int = 16
    """H, attention heads."""
    feed_forward_width: int = 4096
    """Inner width of the gated networks."""
    num_codebooks: int = 9
    """K, the codec's codebooks that are read and predicted, coarse first."""
    codebook_size: int = 1024
    """V, entries of one codebook; the pad token is one more."""
    frame_rate: float = 44100 / 512
    """Codec steps a second."""
    conditions: dict[str, StreamSize] = field(default_factory=lambda: {"avclip": StreamSize(768, 12.5)})
    """Streams of frames that codes are generated from, side by side. The paper's: AVCLIP gives 12.5 steps a second, one
    for two of its 25 frames."""
    pattern: PatternName = "delay"
    """How the codebooks of a step follow each other."""
    fusion: Fusion = "concat"
    """How the frames enter."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            num_layers=(1, 1000),
            width=(2, 10**5),
            fused_visual_width=(1, self.width - 1),
            num_heads=(1, 1000),
            feed_forward_width=(1, 10**6),
            num_codebooks=(1, 1000),
            codebook_size=(2, 2**20),
            frame_rate=(0.1, 10**4),
        )
        if self.width % (2 * self.num_heads):
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads of even width")
        if not self.conditions:
            raise ValueError("conditions are empty; name a stream of frames, such as 'avclip'")

    @property
    def visual_width(self) -> int:
        """Numbers of an embedded frame."""
        return self.fused_visual_width if self.fusion == "concat" else self.width

    @property
    def audio_width(self) -> int:
        """Numbers of embedded codes."""
        return self.width - self.fused_visual_width if self.fusion == "concat" else self.width

    @property
    def streams(self) -> dict[str, float]:
        """Streams that it is trained on, and at how many steps a second."""
        return {"codes": self.frame_rate} | {name: size.rate for name, size in self.conditions.items()}

    @property
    def pad_token_id(self) -> int:
        """The row of every embedding table for a column without a code of that codebook."""
        return self.codebook_size

    def problems(self, streams: Mapping[str, StreamInfo]) -> list[str]:
        """What of it does not fit a store's streams."""
        return [
            *codes_problems(self, streams["codes"]),
            *width_problems("conditions", self.conditions, streams),
        ]
