"""Extract a store: decode in worker processes, encode here in batches across clips, write what is finished.

Paper section 4 and appendix B.1: codes and frame features are computed once, before any training.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vab.codecs.base import Codec
from vab.features.decode_pool import DecodePool, Failure
from vab.features.info import StoreInfo
from vab.features.manifest import Clip
from vab.features.read import DecodedClip, ReadRequest, Require, read_clip
from vab.features.shards import CODES_DTYPE, LENGTH_DTYPE, VISUAL_DTYPE, ShardArrays
from vab.features.writer import Group, StoreWriter
from vab.shapes import Float, Int, Tensor
from vab.timing import num_steps
from vab.vision.base import VisualEncoder

logger = logging.getLogger(__name__)

CPU_SOUNDS = 1
"""Clips a codec encodes at a time on a CPU."""


@dataclass(frozen=True)
class ExtractionOptions:
    """How to extract; what is extracted is up to the codec and the encoder."""

    visual_fps: float = 1.0
    """Visual frames a second; paper: 1, and 5 for VGGSound to draw from in training."""
    clip_seconds: float = 10.0
    """Every clip is cut or padded to this length."""
    require: Require = "any"
    """A clip that lacks a modality required here is a failure."""
    num_workers: int = 1
    """Processes that decode."""
    shard_size: int = 1000
    """Clips a file of the store."""
    batch_size: int = 8
    """Clips encoded, and written, together: what is lost at worst when the process is killed."""
    timeout: float = 600.0
    """Seconds after which decoding of one clip is given up."""
    device: str = "cpu"
    """Where the codec and the encoder are."""
    retry_failures: bool = False
    """Try clips that failed before once more."""

    def __post_init__(self) -> None:
        for name in ("visual_fps", "clip_seconds", "num_workers", "shard_size", "batch_size", "timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")


@dataclass(frozen=True)
class Progress:
    """Clips of one run so far."""

    num_total: int
    """Clips that this run has to do."""
    num_done: int
    num_failed: int


@dataclass(frozen=True)
class ExtractionReport:
    """What one run did."""

    num_done: int
    num_failed: int
    seconds: float


def extract(
    clips: Sequence[Clip],
    store_dir: Path,
    codec: Codec,
    encoder: VisualEncoder,
    options: ExtractionOptions,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    reader: Callable[[ReadRequest], DecodedClip] = read_clip,
) -> ExtractionReport:
    """Bring clips into a store, going on from wherever an earlier run ended, however it ended.

    With the same clips, options and machine the store's bytes do not depend on interruptions. A clip that
    cannot be read is listed in ``failures.jsonl`` with the reason and never stops the others.

    Args:
        clips: what the store should hold; clips it holds already are not touched.
        store_dir: the store's folder, made if absent.
        codec: sound to codes, on ``options.device``.
        encoder: frames to features, on ``options.device``.
        options: rates, sizes, workers.
        on_progress: called at the start and after each group of clips.
        reader: picklable; decodes one clip in a worker process.

    Raises:
        StoreError: the store holds features of another kind, is damaged, or is being written.
        ValueError: a codec whose codes do not fit the store's 16 bits.
    """
    if codec.codebook_size > torch.iinfo(CODES_DTYPE).max + 1:
        raise ValueError(
            f"{codec.name} has {codec.codebook_size} entries a codebook; a store holds 16-bit codes"
        )
    info = StoreInfo.of(codec, encoder, options.visual_fps, options.clip_seconds)
    began = time.perf_counter()
    with StoreWriter(store_dir, info) as writer:
        writer.plan(
            clips,
            shard_size=options.shard_size,
            group_size=options.batch_size,
            retry_failures=options.retry_failures,
        )
        num_total = writer.count_pending()
        num_done = num_failed = 0
        if on_progress:
            on_progress(Progress(num_total, 0, 0))
        for group, prepared in _decoded_groups(writer.pending(), encoder, info, options, reader):
            arrays, failures = _encode(group, prepared, codec, encoder, info, options.device)
            writer.write(group, arrays, failures)
            num_failed += len(failures)
            num_done += len(group.clips) - len(failures)
            rate = (num_done + num_failed) / (time.perf_counter() - began)
            logger.info("%d of %d clips, %.2f a second", num_done + num_failed, num_total, rate)
            if on_progress:
                on_progress(Progress(num_total, num_done, num_failed))
    return ExtractionReport(num_done, num_failed, time.perf_counter() - began)


@dataclass(frozen=True)
class _PreparedClip:
    """A decoded clip as the networks take it."""

    waveform: np.ndarray | None
    """float32 [1, L], unpadded."""
    images: Float[Tensor, "F 3 size size"] | None


def _decoded_groups(
    groups: Iterator[Group],
    encoder: VisualEncoder,
    info: StoreInfo,
    options: ExtractionOptions,
    reader: Callable[[ReadRequest], DecodedClip],
) -> Iterator[tuple[Group, list[_PreparedClip | Failure]]]:
    """Groups with their decoded clips, the next ones being decoded while this one is used."""

    def prepare(clip: DecodedClip) -> _PreparedClip:
        frames = None if clip.frames is None else clip.frames[: info.num_frames]
        return _PreparedClip(clip.waveform, None if frames is None else encoder.preprocess(frames))

    under_way: deque[Group] = deque()

    def requests() -> Iterator[ReadRequest]:
        for group in groups:
            under_way.append(group)
            for clip in group.clips:
                yield ReadRequest(
                    clip,
                    sample_rate=info.codec.sample_rate,
                    visual_fps=info.visual_fps,
                    clip_seconds=info.clip_seconds,
                    image_size=encoder.image_size,
                    require=options.require,
                )

    with DecodePool(
        reader,
        num_workers=options.num_workers,
        lookahead=options.batch_size + options.num_workers,
        timeout=options.timeout,
        then=prepare,
    ) as pool:
        prepared: list[_PreparedClip | Failure] = []
        for result in pool.map(requests()):
            prepared.append(result)
            if len(prepared) == len(under_way[0].clips):
                yield under_way.popleft(), prepared
                prepared = []


def _encode(
    group: Group,
    prepared: Sequence[_PreparedClip | Failure],
    codec: Codec,
    encoder: VisualEncoder,
    info: StoreInfo,
    device: str,
) -> tuple[ShardArrays, dict[str, str]]:
    """Features of the clips of a group that could be decoded, and why the others could not."""
    failures = {}
    names: list[str] = []
    ready: list[_PreparedClip] = []
    for clip, item in zip(group.clips, prepared, strict=True):
        if isinstance(item, Failure):
            failures[clip.id] = item.reason
        else:
            names.append(clip.id)
            ready.append(item)
    arrays = ShardArrays.zeros(len(ready), info)
    sounds = {i: item.waveform for i, item in enumerate(ready) if item.waveform is not None}
    if sounds:
        heard = list(sounds)
        arrays.codes[heard] = _codes(list(sounds.values()), codec, info, device)
        lengths = [num_steps(sound.shape[1], info.codec.hop_length) for sound in sounds.values()]
        arrays.num_steps[heard] = torch.tensor(lengths, dtype=LENGTH_DTYPE).clamp(max=info.num_steps)
    pictures = {i: item.images for i, item in enumerate(ready) if item.images is not None}
    if pictures:
        seen = list(pictures)
        arrays.visual[seen] = _visual(list(pictures.values()), encoder, info, device)
        arrays.num_frames[seen] = torch.tensor([len(p) for p in pictures.values()], dtype=LENGTH_DTYPE)
    is_finite = arrays.visual.isfinite().flatten(1).all(dim=1)
    for name in (name for name, is_fine in zip(names, is_finite, strict=True) if not is_fine):
        failures[name] = f"features of {encoder.name} that 16-bit floats cannot hold"
    return arrays.rows(is_finite), failures


def _codes(
    waveforms: Sequence[np.ndarray], codec: Codec, info: StoreInfo, device: str
) -> Int[Tensor, "B K S"]:
    """Codes of sounds, each followed by silence to full length (appendix B.1)."""
    batch = torch.zeros(len(waveforms), 1, info.num_samples)
    for row, waveform in zip(batch, waveforms, strict=True):
        kept = torch.from_numpy(waveform[:, : info.num_samples])
        row[:, : kept.shape[1]] = kept
    # A GPU wants one large batch. A CPU gains nothing from it and loses memory: gigabytes a clip with DAC.
    size = CPU_SOUNDS if device == "cpu" else len(batch)
    with torch.inference_mode():
        codes = [codec.encode(piece.to(device)).to("cpu", CODES_DTYPE) for piece in batch.split(size)]
    return torch.cat(codes)


def _visual(
    images: Sequence[Float[Tensor, "_ 3 size size"]], encoder: VisualEncoder, info: StoreInfo, device: str
) -> Float[Tensor, "B F E"]:
    """Features of all clips' frames in one batch, each clip's last repeated to full length (appendix B.1)."""
    with torch.inference_mode():
        features = encoder.encode_image(torch.cat(list(images)).to(device)).to("cpu", VISUAL_DTYPE)
    clips = features.split([len(image) for image in images])
    return torch.stack(
        [torch.cat([clip, clip[-1:].expand(info.num_frames - len(clip), -1)]) for clip in clips]
    )
