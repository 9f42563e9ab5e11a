"""``vab extract``: lists of videos in, a feature store out."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.table import Table

from tasks.console import console, errors, progress_bar
from tasks.extraction.options import ExtractOptions
from vab.codecs import load_codec
from vab.device import choose_device
from vab.errors import ManifestError
from vab.features.extract import ExtractionOptions, ExtractionReport, Progress, extract
from vab.features.manifest import Manifest, load_manifest, merge
from vab.features.status import ExtractionStatus, status
from vab.files import check_outputs, write_atomically
from vab.media import find_media
from vab.vision import load_encoder

MISSING = "missing.txt"
"""File of a store with the ids of clips that its lists name and that have no file."""
MOST_WORKERS = 16


def run(options: ExtractOptions) -> int:
    """Exit code 0, or 2 where the store ends up without a single clip."""
    if options.status:
        _print_status(status(options.store))
        return 0
    written = ("store.json", "failures.jsonl", MISSING)
    check_outputs([options.store / name for name in written], map(Path, options.inputs))
    manifest = _manifest(options)
    if manifest.missing:
        errors.print(
            f"vab extract: {len(manifest.missing)} listed clips have no file and are left out "
            f"(first: {manifest.missing[0]}; all: {options.store / MISSING})",
            markup=False,
            soft_wrap=True,
        )
    device = choose_device(options.device)
    report = _extract(manifest, options, device)
    if options.inputs:
        write_atomically(options.store / MISSING, "".join(f"{name}\n" for name in manifest.missing))
    now = status(options.store)
    console.print(
        f"{report.num_done} clips done in {report.seconds:.0f} s "
        f"({report.num_done / max(report.seconds, 1e-9):.1f} a second), {report.num_failed} failed; "
        f"{options.store} holds {now.total.num_done}",
        markup=False,
        soft_wrap=True,
    )
    if now.total.num_failed:
        console.print(
            f"reasons of {now.total.num_failed} failures: {options.store / 'failures.jsonl'} "
            "(--retry-failures tries them again)",
            markup=False,
            soft_wrap=True,
        )
    return 0 if now.total.num_done else 2


def num_workers(device: str, num_processors: int) -> int:
    """Decoding processes: on a GPU nearly a processor each; on a CPU few, as encoding is the heavier part."""
    spare = num_processors - 1 if device.startswith("cuda") else num_processors // 4
    return max(1, min(MOST_WORKERS, spare))


def _extract(manifest: Manifest, options: ExtractOptions, device: str) -> ExtractionReport:
    use_bfloat16 = options.dtype == "bfloat16" or (options.dtype == "auto" and device.startswith("cuda"))
    codec = load_codec(
        options.codec, weights=options.codec_weights, device=device, num_codebooks=options.num_codebooks
    )
    encoder = load_encoder(
        options.encoder,
        weights=options.encoder_weights,
        device=device,
        dtype=torch.bfloat16 if use_bfloat16 else torch.float32,
    )
    settings = ExtractionOptions(
        visual_fps=options.visual_fps,
        clip_seconds=options.clip_seconds,
        require=options.require,
        num_workers=options.workers or num_workers(device, _num_processors()),
        shard_size=options.shard_size,
        batch_size=options.batch_size,
        timeout=options.timeout,
        device=device,
        retry_failures=options.retry_failures,
    )
    with progress_bar("clips") as progress:
        task = progress.add_task("extracting", total=None)

        def show(state: Progress) -> None:
            speed = progress.tasks[0].speed
            progress.update(
                task,
                description="extracting"
                + (f", {speed:.1f} a second" if speed else "")
                + (f", {state.num_failed} failed" if state.num_failed else ""),
                total=state.num_total,
                completed=state.num_done + state.num_failed,
            )

        return extract(manifest.clips, options.store, codec, encoder, settings, on_progress=show)


def _manifest(options: ExtractOptions) -> Manifest:
    """All inputs as one list of clips."""
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
    console.print(
        f"codes of {info.codec.name} ({info.codec.num_codebooks} x {info.codec.codebook_size}, "
        f"{info.codec.frame_rate:g} Hz), features of {info.encoder.name} "
        f"({info.encoder.embed_dim} wide, {info.visual_fps:g} a second), clips of {info.clip_seconds:g} s",
        markup=False,
        soft_wrap=True,
    )
    table = Table("split", "done", "failed", "missing")
    for name, counts in [*found.by_split.items(), ("all", found.total)]:
        cells = (counts.num_done, counts.num_failed, counts.num_missing)
        table.add_row(name or "(none)", *map(str, cells))
    console.print(table)
