"""``vab extract``: lists of videos in, a feature store out."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from tasks.console import console, progress_bar, say, warn
from tasks.engine import cluster_of
from tasks.extraction.options import ExtractOptions
from vab.codecs import load_codec
from vab.device import choose_device
from vab.errors import ConfigError, ManifestError
from vab.features.extract import ExtractionOptions, ExtractionReport, add_stream, extract
from vab.features.extract import Progress as ExtractionProgress
from vab.features.makers import CodecMaker, StreamMaker, VisualMaker, load_maker
from vab.features.manifest import Manifest, load_manifest, merge
from vab.features.status import ExtractionStatus, status
from vab.features.store import FeatureStore
from vab.files import check_outputs, write_atomically
from vab.media import find_media
from vab.visual import load_visual

MISSING = "missing.txt"
"""File of a store with the ids of clips that its lists name and that have no file."""
MOST_WORKERS = 16
DEFAULT_CODEC, DEFAULT_ENCODER = "spectral-16khz", "demo-clip"


def run(options: ExtractOptions) -> int:
    """Exit code 0, or 2 where the store ends up without a single clip."""
    if options.status:
        _print_status(status(options.store))
        return 0
    if options.verify:
        checked = FeatureStore(options.store)
        checked.verify()
        say(f"{options.store}: sound, {len(checked)} clips")
        return 0
    written = ("store.json", "failures.jsonl", MISSING)
    check_outputs([options.store / name for name in written], map(Path, options.inputs))
    if options.add:
        report = _add(options, options.add)
        store = options.store / "streams" / options.add
    else:
        report = _extract(options)
        store = options.store
    now = status(store)
    say(
        f"{report.num_done} clips done in {report.seconds:.0f} s "
        f"({report.num_done / max(report.seconds, 1e-9):.1f} a second), {report.num_failed} failed; "
        f"{store} holds {now.total.num_done}"
    )
    if now.total.num_failed:
        say(
            f"reasons of {now.total.num_failed} failures: {store / 'failures.jsonl'} "
            "(--retry-failures tries them again)"
        )
    return 0 if now.total.num_done else 2


def num_workers(device: str, num_processors: int) -> int:
    """Decoding processes: on a GPU nearly a processor each; on a CPU few, as encoding is the heavier part."""
    spare = num_processors - 1 if device.startswith("cuda") else num_processors // 4
    return max(1, min(MOST_WORKERS, spare))


def _extract(options: ExtractOptions) -> ExtractionReport:
    manifest = _manifest(options)
    if manifest.missing:
        warn(
            f"vab extract: {len(manifest.missing)} listed clips have no file and are left out "
            f"(first: {manifest.missing[0]}; all: {options.store / MISSING})"
        )
    with progress_bar("clips") as progress:
        report = extract(
            manifest.clips,
            options.store,
            _makers(options),
            _settings(options),
            on_progress=_shown(progress),
            cluster=cluster_of(options.engine, options.scheduler, partial(_makers, options)),
        )
    if options.inputs:
        write_atomically(options.store / MISSING, "".join(f"{name}\n" for name in manifest.missing))
    return report


def _add(options: ExtractOptions, name: str) -> ExtractionReport:
    if options.inputs:
        raise ConfigError(f"--add {name} is for the clips that {options.store} holds; give no others")
    if options.codec and options.encoder:
        raise ConfigError(f"--add {name}: one stream is made by a --codec or by an --encoder, not by both")
    if options.maker and (options.codec or options.encoder):
        raise ConfigError(
            "--maker has options of a stream that is made by its name, without --codec or --encoder"
        )
    with progress_bar("clips") as progress:
        return add_stream(
            options.store,
            name,
            _makers(options)[name],
            _settings(options),
            on_progress=_shown(progress),
            cluster=cluster_of(options.engine, options.scheduler, partial(_makers, options)),
        )


def _makers(options: ExtractOptions) -> Mapping[str, StreamMaker]:
    """What makes the streams, here or on a worker: those of a new store, or the one that is added."""
    device, name = choose_device(options.device), options.add
    if name is None:
        return {
            "codes": _codec(options, options.codec or DEFAULT_CODEC, device),
            "clip": _encoder(options, options.encoder or DEFAULT_ENCODER, device),
        }
    if options.codec:
        return {name: _codec(options, options.codec, device)}
    if options.encoder:
        return {name: _encoder(options, options.encoder, device)}
    return {name: load_maker(name, device, **options.maker)}


def _codec(options: ExtractOptions, name: str, device: str) -> CodecMaker:
    codec = load_codec(
        name, weights=options.codec_weights, device=device, num_codebooks=options.num_codebooks
    )
    return CodecMaker(codec, device)


def _encoder(options: ExtractOptions, name: str, device: str) -> VisualMaker:
    use_bfloat16 = options.dtype == "bfloat16" or (options.dtype == "auto" and device.startswith("cuda"))
    encoder = load_visual(
        name,
        weights=options.encoder_weights,
        device=device,
        dtype=torch.bfloat16 if use_bfloat16 else torch.float32,
    )
    return VisualMaker(encoder, encoder.fps or options.visual_fps, device)


def _settings(options: ExtractOptions) -> ExtractionOptions:
    chosen = 1 if options.engine == "dask" else num_workers(choose_device(options.device), _num_processors())
    return ExtractionOptions(
        clip_seconds=options.clip_seconds,
        require=options.require,
        num_workers=options.workers or chosen,
        shard_size=options.shard_size,
        batch_size=options.batch_size,
        timeout=options.timeout,
        retry_failures=options.retry_failures,
    )


def _shown(progress: Any) -> Callable[[ExtractionProgress], None]:
    task = progress.add_task("extracting", total=None)

    def show(state: ExtractionProgress) -> None:
        speed = progress.tasks[0].speed
        progress.update(
            task,
            description="extracting"
            + (f", {speed:.1f} a second" if speed else "")
            + (f", {state.num_failed} failed" if state.num_failed else ""),
            total=state.num_total,
            completed=state.num_done + state.num_failed,
        )

    return show


def _manifest(options: ExtractOptions) -> Manifest:
    if not options.inputs and not (options.store / "store.json").is_file():
        raise ManifestError(f"{options.store}: a new store needs videos or a list of clips")
    return merge(
        load_manifest(path, media_root=options.media_root, format=options.format)
        for path in _expand(options.inputs)
    )


def _expand(inputs: Sequence[str]) -> list[Path]:
    """Files and folders as they are, patterns as the videos they match."""
    paths: list[Path] = []
    for item in inputs:
        is_pattern = glob.has_magic(item) and not Path(item).exists()
        paths += find_media([item]) if is_pattern else [Path(item)]
    return paths


def _num_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_status(found: ExtractionStatus) -> None:
    info = found.info
    say(f"clips of {info.clip_seconds:g} s")
    for stream in info.streams.values():
        entries = f" of {stream.codec.codebook_size}" if stream.codec else ""
        say(
            f"{stream.name}: {stream.kind} {list(stream.shape)}{entries}, {stream.rate:g} a second, by {stream.maker}"
        )
    table = Table("split", "done", "failed", "missing")
    for name, counts in [*found.by_split.items(), ("all", found.total)]:
        cells = (counts.num_done, counts.num_failed, counts.num_missing)
        table.add_row(name or "(none)", *map(str, cells))
    console.print(table)
    for added in found.added:
        _print_status(added)
