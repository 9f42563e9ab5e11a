"""Size and geometry of a coarse-to-fine stage (paper table 7, last column)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CoarseToFineConfig:
    """Everything needed to build the network; saved inside its weights file."""

    num_layers: int = 16
    """Layers; both modalities share their feed-forward networks."""
    width: int = 1280
    """D, numbers a position."""
    num_heads: int = 20
    """H, attention heads."""
    feed_forward_ratio: int = 4
    """Inner width of the feed-forward networks, in widths."""
    num_codebooks: int = 12
    """K, the codec levels read, coarse first."""
    num_coarse_codebooks: int = 4
    """The first levels, which are given; the rest is predicted."""
    codebook_size: int = 1024
    """V, entries of one codebook; [MASK] is one more."""
    codebook_dim: int = 8
    """Numbers in one codebook vector."""
    frame_rate: float = 50.0
    """Codec steps a second."""
    visual_dim: int = 768
    """E, numbers in one visual feature."""
    visual_fps: float = 1.0
    """Visual frames a second."""

    def __post_init__(self) -> None:
        if not 0 < self.num_coarse_codebooks < self.num_codebooks:
            raise ValueError(
                f"num_coarse_codebooks must be in [1, {self.num_codebooks - 1}], not {self.num_coarse_codebooks}"
            )
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")

    @property
    def num_fine_codebooks(self) -> int:
        """Levels predicted, one head each."""
        return self.num_codebooks - self.num_coarse_codebooks

    @property
    def mask_token_id(self) -> int:
        """The [MASK] row of every embedding table."""
        return self.codebook_size
