"""Size and geometry of a VAB (paper table 7), and of the coarse-to-fine stage, which is one too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vab.config import check_ranges
from vab.features.info import StreamInfo, StreamSize
from vab.models.base import codes_problems


@dataclass(frozen=True)
class VABConfig:
    """Everything needed to build the network; saved inside its weights file."""

    num_layers: int = 24
    """N, all layers."""
    num_encoder_layers: int = 12
    """N1, the first layers: alone they encode one modality, or both, for retrieval and classification."""
    has_experts: bool = True
    """Whether the first N1 layers have one feed-forward network a modality (appendix C.2 compares)."""
    width: int = 1024
    """D, numbers a position."""
    num_heads: int = 16
    """H, attention heads."""
    feed_forward_ratio: int = 4
    """Inner width of the feed-forward networks, in widths."""
    num_codebooks: int = 4
    """K, the codec's codebooks that are read, coarse first."""
    num_given_codebooks: int = 0
    """The first codebooks, which are given; only the others are masked and predicted. 0 = a model that generates;
    more = one that refines, the coarse-to-fine stage of paper section 3.3."""
    codebook_size: int = 2048
    """V, entries of one codebook; [MASK] is one more."""
    codebook_dim: int = 128
    """Numbers in one codebook vector."""
    frame_rate: float = 50.0
    """Codec steps a second."""
    visual_dim: int = 768
    """E, numbers in one visual feature."""
    visual_fps: float = 1.0
    """Visual frames a second."""
    alibi: Literal["time", "asymmetric", "index"] = "time"
    """Distance that attention decays with: time; time with heads that look back or ahead, and frames that weigh as
    much as the steps they span; or index in the joint sequence (kept for comparison)."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            num_layers=(1, 1000),
            width=(1, 10**5),
            num_heads=(1, 1000),
            feed_forward_ratio=(1, 100),
            num_codebooks=(1, 1000),
            codebook_size=(2, 2**20),
            codebook_dim=(1, 10**5),
            frame_rate=(0.1, 10**4),
            visual_dim=(1, 10**5),
            visual_fps=(0.01, 1000),
        )
        if not 0 < self.num_encoder_layers <= self.num_layers:
            raise ValueError(
                f"num_encoder_layers must be in [1, {self.num_layers}], not {self.num_encoder_layers}"
            )
        if not 0 <= self.num_given_codebooks < self.num_codebooks:
            raise ValueError(
                f"num_given_codebooks must be in [0, {self.num_codebooks - 1}], not {self.num_given_codebooks}"
            )
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")

    @property
    def conditions(self) -> dict[str, StreamSize]:
        """Streams that codes are predicted from."""
        return {"clip": StreamSize(self.visual_dim, self.visual_fps)}

    @property
    def streams(self) -> dict[str, float]:
        """Streams that it is trained on, and at how many steps a second."""
        return {"codes": self.frame_rate, "clip": self.visual_fps}

    def problems(self, streams: Mapping[str, StreamInfo]) -> list[str]:
        """What of it does not fit a store's streams."""
        found, width = codes_problems(self, streams["codes"]), streams["clip"].shape[0]
        if self.visual_dim != width:
            found.append(f"model.visual_dim is {self.visual_dim}, the store needs {width}")
        return found

    @property
    def num_predicted_codebooks(self) -> int:
        """Codebooks that are masked and predicted, one head each."""
        return self.num_codebooks - self.num_given_codebooks

    @property
    def mask_token_id(self) -> int:
        """The [MASK] row of every embedding table."""
        return self.codebook_size
