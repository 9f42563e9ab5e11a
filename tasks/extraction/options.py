"""Options of ``vab extract``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.options import positional


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """Turn videos into codes and visual features, once, before any training.

    Killed at any moment, re-run to resume. Clips that cannot be read are listed with the reason in failures.jsonl of
    the store and never stop the others. --add computes one more stream for the clips of a store, and only that.
    """

    inputs: list[str] = positional(default_factory=list)
    """Videos, folders, glob patterns, or lists of clips: a CSV with a column 'path' (and id, start, duration, split,
    label, labels, caption), VGGSound's or AudioSet's csv, or the folder of ESC-50 or Speech Commands. None = resume
    what is planned."""
    store: Path
    """Folder of the feature store."""
    add: str | None = None
    """Name of one more stream for the clips of --store: made by the --codec or the --encoder that is given, such as
    --add clip25 --encoder demo-clip --visual-fps 25, or, without them, by its name: latents, layout, onset-curve and
    onsets (in place of a layout), beats, demo-audio, or what an installed package names."""
    maker: dict[str, Any] = field(default_factory=dict)
    """Options of a stream that is made by its name: --maker.rate 20 of a layout, --maker.autoencoder NAME of
    latents, --maker.weights FILE of beats."""
    codec: str | None = None
    """Name of a codec ('vab info' lists them) or file of its weights; spectral-16khz by default."""
    codec_weights: str | None = None
    """Other weights for that codec: a name, a file, or 'random'."""
    num_codebooks: int | None = None
    """Codebooks of the codec to keep, from the coarsest; the codec's own number by default."""
    encoder: str | None = None
    """Name of a visual encoder, such as EVA02-L-14 or avclip, or file of its weights; demo-clip by default. With
    layers: before it its layers are kept, class token and pooled patches, such as --add clip-layers --encoder
    layers:demo-clip."""
    encoder_weights: str | None = None
    """Other weights for that encoder: a name, a file, or 'random'."""
    visual_fps: float = 12.5
    """Visual frames a second; an encoder with a rate of its own ignores it. Training may use any rate that divides it;
    the paper's is 1, drawn from 5."""
    clip_seconds: float = 10.0
    """Every clip is cut or padded to this length."""
    require: Literal["both", "audio", "visual", "any"] = "any"
    """What a clip must have. With 'any', training on pairs still leaves out clips that lack one of the two."""
    media_root: Path | None = None
    """Where the files of a list lie; next to the list by default."""
    format: Literal["auto", "folder", "classes", "csv", "vggsound", "audioset", "esc50", "speechcommands"] = (
        "auto"
    )
    """Format of the lists; told from their content by default. Say 'classes' for a folder with a folder a class."""
    workers: int | None = None
    """Processes that decode; chosen by the number of processors by default, with --engine dask 1 for each thread of a
    worker."""
    shard_size: int = 1000
    """Clips in one file of the store."""
    batch_size: int = 8
    """Clips encoded and saved together; a kill loses at most these."""
    engine: Literal["local", "dask"] = "local"
    """local: this machine decodes and encodes. dask: the workers of --scheduler do (`pip install 'vab[dask]'`), and
    this process writes; the store is the same."""
    scheduler: str | None = None
    """Address of Dask's scheduler, such as tcp://10.0.0.1:8786."""
    timeout: float = 600.0
    """Seconds after which a clip whose decoding hangs is given up."""
    device: str = "auto"
    """auto, cpu or cuda."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the encoder: auto is bfloat16 on a GPU and float32 on a CPU."""
    retry_failures: bool = False
    """Try clips that failed in an earlier run once more."""
    status: bool = False
    """Only say how far the store is: clips done, failed and missing, by split."""
    verify: bool = False
    """Only check that the store's features are those that were written, by their digests."""
