"""``vab generate``: many videos in batches; one bad file never stops the others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import vab
from tasks.console import console, errors, progress_bar
from tasks.generation.options import GenerateOptions
from vab import media
from vab.errors import MediaError, VABError
from vab.pipeline import Generation, Pipeline
from vab.shapes import Tensor


@dataclass(frozen=True)
class Clip:
    """A video to do, and the results it is to have: (seed, file)."""

    video: Path
    seconds: float
    outputs: list[tuple[int, Path]]


def run(options: GenerateOptions) -> int:
    """Exit code 0, or 2 where any input failed."""
    videos, failures = _find(options.inputs)
    clips, num_present = [], 0
    for video, names in zip(videos, _names(videos), strict=True):
        outputs = _outputs(video, names, options, num_videos=len(videos))
        wanted = [(seed, path) for seed, path in outputs if options.overwrite or not path.exists()]
        num_present += len(outputs) - len(wanted)
        if not wanted:
            continue
        try:
            duration = media.probe(video).require_video().duration
            clips.append(Clip(video, min(duration, options.duration or duration), wanted))
        except MediaError as error:
            failures.append(str(error))

    num_done = 0
    if clips:
        pipeline = vab.load(options.weights, device=options.device, dtype=options.dtype)
        for reason in _generate_all(pipeline, clips, options):
            num_done += reason is None
            failures += [] if reason is None else [reason]
    for failure in failures:
        errors.print(f"vab generate: {failure}", markup=False, soft_wrap=True)
    present = f", {num_present} there already (--overwrite makes them again)" if num_present else ""
    failed = f", {len(failures)} failed" if failures else ""
    console.print(f"{num_done} made in {options.output}{present}{failed}", markup=False)
    return 2 if failures else 0


def _generate_all(pipeline: Pipeline, clips: list[Clip], options: GenerateOptions) -> Iterator[str | None]:
    """Do the clips in batches; for each result yield None, for each failure its reason."""
    with progress_bar("windows") as progress:
        total = sum(pipeline.generator.num_windows(clip.seconds) * len(clip.outputs) for clip in clips)
        task = progress.add_task("generating", total=total)
        for start in range(0, len(clips), options.batch_size):
            batch: list[tuple[Clip, Tensor]] = []
            for clip in clips[start : start + options.batch_size]:
                try:
                    batch.append((clip, pipeline.encode_video(clip.video, duration=clip.seconds)))
                except VABError as error:
                    progress.advance(task, pipeline.generator.num_windows(clip.seconds) * len(clip.outputs))
                    yield str(error)
            yield from _generate_batch(
                pipeline, batch, options, on_window=lambda count: progress.advance(task, count)
            )


def _generate_batch(
    pipeline: Pipeline,
    batch: list[tuple[Clip, Tensor]],
    options: GenerateOptions,
    on_window: Callable[[int], None],
) -> Iterator[str | None]:
    began = time.perf_counter()
    decoding = pipeline.decoding_options(
        num_steps=options.steps, cfg_scale=options.cfg_scale, temperature=options.temperature
    )
    jobs = [(clip, visual, seed, path) for clip, visual in batch for seed, path in clip.outputs]
    sounds = pipeline.generator.generate(
        [visual for _, visual, _, _ in jobs],
        [clip.seconds for clip, _, _, _ in jobs],
        options=decoding,
        seeds=[seed for _, _, seed, _ in jobs],
        batch_size=options.batch_size,
        on_window=on_window,
    )
    seconds_each = round((time.perf_counter() - began) / max(1, len(jobs)), 3)
    for (clip, _, seed, path), sound in zip(jobs, sounds, strict=True):
        settings = pipeline.settings(clip.seconds, seed, decoding)
        settings |= {"video": clip.video.name, "generation_seconds": seconds_each}
        try:
            Generation(sound, clip.video, settings).save(path)
            yield None
        except VABError as error:
            yield str(error)


def _find(inputs: list[str]) -> tuple[list[Path], list[str]]:
    """All videos that the inputs name, each once, and a line for each input that names none."""
    videos: dict[Path, None] = {}
    failures = []
    for item in inputs:
        try:
            videos.update(dict.fromkeys(media.find_media([item])))
        except MediaError as error:
            failures.append(str(error))
    return list(videos), failures


def _names(videos: list[Path]) -> list[str]:
    """A name for each video's results: its stem, with its folder's name before it where stems collide."""
    count = Counter(video.stem for video in videos)
    return [
        video.stem
        if count[video.stem] == 1
        else f"{video.resolve().parent.name}-{video.name.replace('.', '-')}"
        for video in videos
    ]


def _outputs(video: Path, name: str, options: GenerateOptions, *, num_videos: int) -> list[tuple[int, Path]]:
    """Seed and file of each sample; the container stays what it was, since the picture is copied."""
    audio = options.audio_only or ("wav" if options.no_mux else None)
    suffix = f".{audio}" if audio else video.suffix
    is_file = options.output.suffix and not options.output.is_dir() and num_videos == 1
    base = options.output.with_suffix("") if is_file else options.output / name
    if is_file and not audio:
        suffix = options.output.suffix
    number = [""] if options.num_samples == 1 else [f"-{index}" for index in range(options.num_samples)]
    return [
        (options.seed + index, base.with_name(base.name + number[index] + suffix))
        for index in range(len(number))
    ]
