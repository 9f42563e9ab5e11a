"""Options of the ``vab bench`` commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import positional, short
from vab.config import check_ranges
from vab.retrieval.options import Backend, IndexKind


@dataclass(frozen=True, kw_only=True)
class BenchModelOptions:
    """Build a configuration's model with random weights and time it.

    Its matrix products, attention's too, cannot take less than their operations at the rate of one large product, which
    is timed in the same run: that is the floor.
    """

    configs: list[Path] = positional()
    """Files of configs/vab."""
    batch_size: int = 1
    """Clips at a time."""
    seconds: float = 10.0
    """Length of a clip."""
    repeats: int = 3
    """How often it is timed, after once to warm up; the median counts."""
    dtype: Literal["float32", "bfloat16", "int8"] = "bfloat16"
    """Arithmetic; int8, which is for generating on a CPU, beside the floor of bfloat16."""
    compile: bool = False
    """Compile the model's blocks first, as training.compile does."""
    device: str = "auto"
    """auto, cpu or cuda."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers."""
    profile: Path | None = None
    """JSON file for what each operation takes in one more run."""

    def __post_init__(self) -> None:
        check_ranges(self, batch_size=(1, 10**5), seconds=(0.1, 3600), repeats=(1, 1000))


@dataclass(frozen=True, kw_only=True)
class BenchDecodingOptions:
    """Time masked decoding of a configuration's model beside an autoregressive twin, both with random weights.

    The twin has the same layers, width, heads, codes and frames, and writes one step of codes a pass; it is timed with
    a cache of keys and values and without.
    """

    config: Path
    """A file of configs/vab, such as that of the paper's 24 layers of width 1024; guidance and steps are its own."""
    seconds: float = 10.0
    """Length of a clip."""
    systems: list[Literal["masked", "cached", "uncached"]] = field(
        default_factory=lambda: ["masked", "cached", "uncached"]
    )
    """Which to time; without a cache every step costs as much as all before it."""
    layers: int | None = None
    """Instead of the configuration's."""
    width: int | None = None
    """Instead of the configuration's."""
    batch_size: int = 1
    """Clips at a time."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic."""
    device: str = "auto"
    """auto, cpu or cuda."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers."""

    def __post_init__(self) -> None:
        check_ranges(self, seconds=(0.1, 3600), layers=(1, 1000), width=(1, 10**5), batch_size=(1, 10**5))


@dataclass(frozen=True, kw_only=True)
class BenchExtractOptions:
    """Time the extraction of videos beside its two halves: decoding without encoding, and encoding without decoding.

    On a GPU the slower half bounds the whole. On a CPU both take the same processors, and one after the other bounds
    it.
    """

    inputs: list[str] = positional()
    """Videos, folders or lists of clips, as 'vab extract' takes them; some tens of clips."""
    codec: str = "spectral-16khz"
    """Name of a codec, or file of its weights."""
    encoder: str = "demo-clip"
    """Name of a visual encoder, or file of its weights."""
    weights: Literal["own", "random"] = "own"
    """'random' to time networks whose weights are not here."""
    visual_fps: float = 12.5
    """Visual frames a second."""
    clip_seconds: float = 10.0
    """Every clip is cut or padded to this length."""
    workers: int = 1
    """Processes that decode."""
    repeats: int = 3
    """How often each of the three is timed, in turn; the median counts."""
    device: str = "auto"
    """auto, cpu or cuda."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers."""

    def __post_init__(self) -> None:
        check_ranges(
            self, visual_fps=(0.01, 1000), clip_seconds=(0.1, 3600), workers=(1, 1000), repeats=(1, 1000)
        )


@dataclass(frozen=True, kw_only=True)
class BenchIndexOptions:
    """Build whole indexes over made-up embeddings and time them: building, opening, size, recall@10, searching.

    Exact search cannot be faster than the matrix product of queries and vectors, nor than reading every vector once:
    both are timed beside it, and the ratios are given.

    The vectors are unit-norm points of a curved sheet of 24 dimensions with a little noise, as embeddings are, rather
    than directions without any structure; the queries are other points of the same sheet.
    """

    sizes: list[int] = field(default_factory=lambda: [10_000, 100_000])
    """Numbers of clips, of one window each."""
    backends: list[Backend] = field(default_factory=lambda: ["faiss"])
    """faiss, lancedb (`pip install 'vab[lancedb]'`) or both."""
    kinds: list[IndexKind] = field(default_factory=lambda: ["flat", "hnsw", "ivfpq"])
    """Kinds of index."""
    dim: int = 1024
    """Width of an embedding."""
    num_queries: int = 500
    """Questions asked, all at once and one by one."""
    seed: int = 0
    """Of vectors and queries."""
    output: Path | None = short("o", default=None)
    """JSON file for the numbers."""

    def __post_init__(self) -> None:
        check_ranges(self, sizes=(10, 10**9), dim=(1, 10**5), num_queries=(1, 10**6))
