"""Options of ``vab adapt``, ``vab embed``, ``vab index`` and ``vab search``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.options import positional, short
from tasks.training_clips import ClipOptions
from vab.objectives.options import ContrastiveOptions
from vab.retrieval.options import Backend, IndexKind
from vab.training.options import TrainingOptions


@dataclass(frozen=True)
class AdaptDataOptions(ClipOptions):
    """Which clips, and what is done to them (paper appendix B.3)."""

    num_validation_clips: int = 512
    """The first so many of them in each store."""
    crop_seconds: float | None = None
    """Length of a random piece of each clip; all of it by default. Files are searched in windows of this length."""


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """Bring audio and frames of a clip together, for search: the first N1 layers of a VAB (paper section 3.4).

    Start from a file in configs/retrieval/; anything in it can be overridden: --training.max_steps 100.
    """

    store: list[Path]
    """Feature stores that 'vab extract' wrote; several are trained on as one."""
    out: Path = short("o")
    """Folder of this run: curves, checkpoints, and in the end encoder.safetensors."""
    training: TrainingOptions
    """How to train."""
    weights: str = "demo"
    """'demo', a name that 'vab info' lists, or a model's .safetensors file: what to start from."""
    init: Literal["pretrained", "scratch"] = "pretrained"
    """Start from these weights, or from random ones of their size, to compare (appendix C.3)."""
    time_waves: int = 0
    """0 = the paper's mean over time; 20, say, weighs an embedding's numbers by functions of time made of so many
    waves, down to half a second: search then asks when things happen, not only what."""
    objective: ContrastiveOptions = field(default_factory=ContrastiveOptions)
    """The contrastive loss."""
    data: AdaptDataOptions = field(default_factory=AdaptDataOptions)
    """Clips and augmentation."""
    resume: bool = False
    """Go on with the run in --out."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """One unit-norm vector a file, of its audio, of its frames, or of a text."""

    inputs: list[str] = positional()
    """Files; with --modality text, texts, each argument one query."""
    modality: Literal["audio", "video", "text"] = "video"
    """What of a file is embedded. A file longer than the model's window has the mean of its windows."""
    output: Path | None = short("o", default=None)
    """File to write: .npy (the vectors), .parquet (file, modality, vector) or .json; JSON on the screen by default."""
    weights: str = "demo-search"
    """A name that 'vab info' lists, or a .safetensors file of 'vab adapt' or 'vab pretrain'."""
    engine: Literal["local", "dask"] = "local"
    """local: this machine embeds. dask: the workers of --scheduler do (`pip install 'vab[dask]'`)."""
    scheduler: str | None = None
    """Address of Dask's scheduler, such as tcp://10.0.0.1:8786."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class IndexBuildOptions:
    """Embed the frames and the audio of every clip, long ones in windows, so that they can be searched.

    Stopped at any moment, re-run to resume. Files may be moved together with the index.
    """

    inputs: list[Path] = positional()
    """Videos, sounds, folders of them, or feature stores."""
    output: Path = short("o")
    """Folder of the index."""
    kind: IndexKind = "flat"
    """flat: exact. hnsw: a graph, for speed. ivfpq: cells and codes; candidates compared again in half precision."""
    backend: Backend = "faiss"
    """faiss: SQLite and FAISS, fastest while an index fits into memory. lancedb: read from the disk, and searched while
    it is added to (`pip install 'vab[lancedb]'`)."""
    tables: str | None = None
    """Object storage that keeps LanceDB's tables in place of the folder: s3://bucket/name, gs:// or az://, with the
    credentials of the environment. An index that is there is gone on with; one process at a time may write."""
    weights: str = "demo-search"
    """A name that 'vab info' lists, or a .safetensors file of 'vab adapt' or 'vab pretrain'."""
    engine: Literal["local", "dask"] = "local"
    """local: this machine embeds. dask: the workers of --scheduler do (`pip install 'vab[dask]'`)."""
    scheduler: str | None = None
    """Address of Dask's scheduler, such as tcp://10.0.0.1:8786."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class IndexAddOptions:
    """Add clips to an index; those that are there are left alone unless their file has changed."""

    index: list[Path] = positional()
    """The index, then videos, sounds, folders of them or feature stores; nothing more completes a stopped run."""
    weights: str | None = None
    """Weights that the index was built with, where they have been moved."""
    engine: Literal["local", "dask"] = "local"
    """local: this machine embeds. dask: the workers of --scheduler do (`pip install 'vab[dask]'`)."""
    scheduler: str | None = None
    """Address of Dask's scheduler, such as tcp://10.0.0.1:8786."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class IndexRemoveOptions:
    """Take clips out of an index; no file but the index is touched."""

    index: list[str] = positional()
    """The index, then files, folders or clip ids."""


@dataclass(frozen=True, kw_only=True)
class IndexVerifyOptions:
    """Check that indexes are what was written: embeddings, clips, and the files that are searched."""

    index: list[Path] = positional()
    """The indexes."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Find the clips of indexes that look or sound like a file, or match a text.

    A text is read by CLIP's text tower and takes the way of a frame: it finds what can be seen in one frame, such as
    objects and places. Order, number, motion and sounds without a visible source are beyond it.
    """

    index: list[Path] = positional()
    """One index or several, all built with the same weights."""
    video: Path | None = None
    """Find by the frames of this file."""
    audio: Path | None = None
    """Find by the audio of this file."""
    text: str | None = None
    """Find by a text."""
    in_: Literal["video", "audio"] | None = None
    """Where to look: frames or audio; by default the other of the query's, for a text frames."""
    top: int = 10
    """How many clips."""
    json: bool = False
    """Print JSON instead of a table."""
    html: Path | None = None
    """Also write a page with clips and spectrograms, all in one file."""
    weights: str | None = None
    """Weights that the index was built with, where they have been moved."""
    device: str = "auto"
    """auto, cpu or cuda."""
