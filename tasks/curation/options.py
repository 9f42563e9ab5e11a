"""Options of ``vab curate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.options import positional, short
from vab.config import check_ranges


@dataclass(frozen=True, kw_only=True)
class CurateOptions:
    """Score every clip of feature stores by how well its audio belongs to its frames, and list the good ones.

    The list has a column 'similarity', the best clips first. 'vab extract' makes a store of it, and 'vab pretrain
    --data.clips' learns from its clips of a store that is there.
    """

    stores: list[Path] = positional()
    """Feature stores that 'vab extract' wrote."""
    by: Literal["agreement", "imagebind"] = "agreement"
    """Whose space: of an encoder for search (--weights), from the store's features, or of ImageBind, from the files."""
    min_similarity: float | None = None
    """Cosine that a clip needs to be listed, such as 0.3 of ImageBind's (V-AURA, section IV); by default all are."""
    weights: str | None = None
    """Of that network: demo-search and imagebind by default, or a file."""
    output: Path = short("o")
    """CSV file for the list."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def __post_init__(self) -> None:
        check_ranges(self, min_similarity=(-1, 1))
