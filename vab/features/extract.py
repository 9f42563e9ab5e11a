"""Extract a store: decode in worker processes, encode here in batches across clips, write what is finished.

Paper section 4 and appendix B.1: codes and frame features are computed once, before any training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, tee
from pathlib import Path
from typing import Any

import torch

from vab.cluster import Cluster
from vab.errors import StoreError
from vab.features.decode_pool import DecodePool, Failure
from vab.features.info import StoreInfo
from vab.features.makers import StreamMaker
from vab.features.manifest import Clip
from vab.features.read import DecodedClip, ReadRequest, Require, read_clip
from vab.features.shards import LENGTH_DTYPE, ShardArrays
from vab.features.writer import Group, StoreWriter, stored_clips
from vab.shapes import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionOptions:
    """How to extract; what is extracted is up to the makers."""

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
    retry_failures: bool = False
    """Try clips that failed before once more."""

    def __post_init__(self) -> None:
        for name in ("clip_seconds", "num_workers", "shard_size", "batch_size", "timeout"):
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
    makers: Mapping[str, StreamMaker],
    options: ExtractionOptions,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    reader: Callable[[ReadRequest], DecodedClip] = read_clip,
    cluster: Cluster[Mapping[str, StreamMaker]] | None = None,
) -> ExtractionReport:
    """Bring clips into a store, resuming from wherever an earlier run ended, however it ended.

    With the same clips, options and kind of machine the store's bytes do not depend on interruptions, nor on which
    workers of a cluster made it or died. A clip that cannot be read is listed in ``failures.jsonl`` with the reason
    and never stops the others.

    Args:
        clips: what the store should hold; clips it holds already are not touched.
        store_dir: the store's folder, made if absent.
        makers: what makes each stream, by the stream's name.
        options: lengths, sizes, workers.
        on_progress: called at the start and after each group of clips.
        reader: picklable; decodes one clip in a worker process.
        cluster: whose workers decode and encode; this process only writes.

    Raises:
        StoreError: the store holds features of another kind, is damaged, or is being written.
        ValueError: a codec whose codes do not fit the store's 16 bits.
    """
    info = StoreInfo.of((maker.describe(name) for name, maker in makers.items()), options.clip_seconds)
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
        groups = writer.pending()
        settings: dict[str, Any] = {"options": options, "reader": reader, "info": info}
        if cluster is None:
            encoded = _encoded_groups(makers, groups, **settings)
        else:
            encoded = cluster.map(partial(_encoded_by_worker, **settings), groups)
        for group, arrays, failures in encoded:
            writer.write(group, arrays, failures)
            num_failed += len(failures)
            num_done += len(group.clips) - len(failures)
            rate = (num_done + num_failed) / (time.perf_counter() - began)
            logger.info("%d of %d clips, %.2f a second", num_done + num_failed, num_total, rate)
            if on_progress:
                on_progress(Progress(num_total, num_done, num_failed))
    return ExtractionReport(num_done, num_failed, time.perf_counter() - began)


def add_stream(
    store_dir: Path, name: str, maker: StreamMaker, options: ExtractionOptions, **settings: Any
) -> ExtractionReport:
    """Make one more stream of all clips of a store; interrupted, the same call resumes.

    The stream lies in a store of its own below the store's ``streams`` folder, so that it is written like one.

    Args:
        store_dir: a store.
        name: what the stream is to be called.
        maker: what makes it.
        options: sizes and workers; clips have the store's length and ``require`` is not looked at.
        settings: further ones of ``extract``.

    Raises:
        StoreError: no store, it was made with a stream of this name, or the stream was made by something else.
    """
    info = StoreInfo.read(store_dir)
    if name in info.streams:
        raise StoreError(f"{store_dir}: was made with a stream {name!r}; give the new one another name")
    clips = stored_clips(store_dir)
    options = replace(options, clip_seconds=info.clip_seconds, require="any")
    return extract(clips, store_dir / "streams" / name, {name: maker}, options, **settings)


_Encoded = tuple[Group, ShardArrays, dict[str, str]]
"""Features of the clips of a group that could be decoded, and why the others could not."""


def _encoded_groups(
    makers: Mapping[str, StreamMaker],
    groups: Iterator[Group],
    *,
    options: ExtractionOptions,
    reader: Callable[[ReadRequest], DecodedClip],
    info: StoreInfo,
) -> Iterator[_Encoded]:
    for group, prepared in _prepared_groups(groups, makers, options, reader):
        yield group, *_encode(group, prepared, makers, info)


def _encoded_by_worker(makers: Mapping[str, StreamMaker], group: Group, **settings: Any) -> _Encoded:
    """One group, in a worker of a cluster."""
    for name, stream in settings["info"].streams.items():
        if (here := makers[name].describe(name).fingerprint) != stream.fingerprint:
            raise StoreError(
                f"a worker's {stream.maker} is {here}, not {stream.fingerprint}; give all machines the same weights"
            )
    [encoded] = _encoded_groups(makers, iter([group]), **settings)
    return encoded


_Prepared = dict[str, Tensor]
"""Of a decoded clip, what each stream's maker takes; streams that the clip lacks are left out."""


def _prepared_groups(
    groups: Iterator[Group],
    makers: Mapping[str, StreamMaker],
    options: ExtractionOptions,
    reader: Callable[[ReadRequest], DecodedClip],
) -> Iterator[tuple[Group, list[_Prepared | Failure]]]:
    """Groups with their decoded clips, the next ones being decoded while this one is used."""
    inputs = tuple({maker.reads: None for maker in makers.values()})

    def prepare(clip: DecodedClip) -> _Prepared:
        return {
            name: maker.prepare(clip[maker.reads]) for name, maker in makers.items() if maker.reads in clip
        }

    asked, answered = tee(groups)
    requests = (
        ReadRequest(clip, inputs, options.clip_seconds, options.require)
        for group in asked
        for clip in group.clips
    )
    with DecodePool(
        reader,
        num_workers=options.num_workers,
        lookahead=options.batch_size + options.num_workers,
        timeout=options.timeout,
        then=prepare,
    ) as pool:
        results = pool.map(requests)
        for group in answered:
            yield group, list(islice(results, len(group.clips)))


def _encode(
    group: Group, prepared: Sequence[_Prepared | Failure], makers: Mapping[str, StreamMaker], info: StoreInfo
) -> tuple[ShardArrays, dict[str, str]]:
    """Features of the clips of a group that could be decoded, and why the others could not."""
    failures = {
        clip.id: item.reason
        for clip, item in zip(group.clips, prepared, strict=True)
        if isinstance(item, Failure)
    }
    names = [clip.id for clip in group.clips if clip.id not in failures]
    ready = [item for item in prepared if not isinstance(item, Failure)]
    arrays = ShardArrays.zeros(len(ready), info)
    is_finite = torch.ones(len(ready), dtype=torch.bool)
    for stream, maker in makers.items():
        rows = [row for row, item in enumerate(ready) if stream in item]
        if not rows:
            continue
        target = arrays.streams[stream]
        features, lengths = maker.encode([ready[row][stream] for row in rows], info.clip_seconds)
        target[rows] = features.to(target.dtype)
        arrays.num_steps[stream][rows] = lengths.to(LENGTH_DTYPE)
        is_fine = target.isfinite().flatten(1).all(dim=1)
        for row in (~is_fine).nonzero().flatten().tolist():
            bits = 8 * target.element_size()
            failures[names[row]] = (
                f"features of {info.streams[stream].maker} that {bits}-bit floats cannot hold"
            )
        is_finite &= is_fine
    return arrays.rows(is_finite), failures
