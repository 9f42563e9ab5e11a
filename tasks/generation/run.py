"""``vab generate``: many videos in batches; one bad file never stops the others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import vab
from tasks.console import console, errors, progress_bar
from tasks.generation.options import GenerateOptions
from tasks.generation.selection import AgreementSelector, Selector, SynchronySelector
from vab import media
from vab.errors import MediaError, VABError
from vab.files import check_outputs
from vab.pipeline import Generation, Pipeline
from vab.shapes import Tensor


@dataclass(frozen=True)
class Clip:
    """A video to do, and the results it is to have: each a file and the seeds of its candidates."""

    video: Path
    seconds: float
    outputs: list[tuple[list[int], Path]]

    @property
    def num_sounds(self) -> int:
        """How many are generated for it."""
        return sum(len(seeds) for seeds, _ in self.outputs)


def run(options: GenerateOptions) -> int:
    """Exit code 0, or 2 where any input failed."""
    if options.select and options.num_samples < 2:
        raise ValueError(f"--select {options.select} chooses among several soundtracks; add --num-samples 4")
    if options.select == "synchrony" and options.synchformer is None:
        raise ValueError(
            "--select synchrony: judged by Synchformer; add --synchformer synchformer, or its file"
        )
    if options.select != "synchrony" and options.synchformer is not None:
        raise ValueError("--synchformer: the judge of --select synchrony; add that too")
    videos, failures = _find(options.inputs)
    results = [
        _outputs(video, name, options, num_videos=len(videos))
        for video, name in zip(videos, _names(videos), strict=True)
    ]
    paths = [path for outputs in results for _, path in outputs]
    check_outputs([*paths, *(path.with_suffix(f"{path.suffix}.json") for path in paths)], videos)
    clips, num_present = [], 0
    for video, outputs in zip(videos, results, strict=True):
        wanted = [(seeds, path) for seeds, path in outputs if options.overwrite or not path.exists()]
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
        selector = _selector(options)
        for reason in _generate_all(pipeline, clips, options, selector):
            num_done += reason is None
            failures += [] if reason is None else [reason]
    for failure in failures:
        errors.print(f"vab generate: {failure}", markup=False, soft_wrap=True)
    present = f", {num_present} there already (--overwrite makes them again)" if num_present else ""
    failed = f", {len(failures)} failed" if failures else ""
    console.print(f"{num_done} made in {options.output}{present}{failed}", markup=False)
    return 2 if failures else 0


def _selector(options: GenerateOptions) -> Selector | None:
    if options.select == "agreement":
        return AgreementSelector(options.select_weights, device=options.device)
    if options.synchformer is not None:
        return SynchronySelector(options.synchformer, device=options.device)
    return None


def _generate_all(
    pipeline: Pipeline, clips: list[Clip], options: GenerateOptions, selector: Selector | None
) -> Iterator[str | None]:
    """Do the clips in batches; for each result yield None, for each failure its reason."""
    with progress_bar("windows") as progress:
        total = sum(pipeline.generator.num_windows(clip.seconds) * clip.num_sounds for clip in clips)
        task = progress.add_task("generating", total=total)
        for start in range(0, len(clips), options.batch_size):
            batch: list[tuple[Clip, Tensor]] = []
            for clip in clips[start : start + options.batch_size]:
                try:
                    batch.append((clip, pipeline.encode_video(clip.video, duration=clip.seconds)))
                except VABError as error:
                    progress.advance(task, pipeline.generator.num_windows(clip.seconds) * clip.num_sounds)
                    yield str(error)
            yield from _generate_batch(
                pipeline, batch, options, selector, on_window=lambda count: progress.advance(task, count)
            )


def _generate_batch(
    pipeline: Pipeline,
    batch: list[tuple[Clip, Tensor]],
    options: GenerateOptions,
    selector: Selector | None,
    on_window: Callable[[int], None],
) -> Iterator[str | None]:
    began = time.perf_counter()
    decoding = pipeline.decoding_options(
        num_steps=options.steps, cfg_scale=options.cfg_scale, temperature=options.temperature
    )
    jobs = [(clip, visual, seed) for clip, visual in batch for seeds, _ in clip.outputs for seed in seeds]
    sounds = iter(
        pipeline.generator.generate(
            [visual for _, visual, _ in jobs],
            [clip.seconds for clip, _, _ in jobs],
            options=decoding,
            seeds=[seed for _, _, seed in jobs],
            batch_size=options.batch_size,
            on_window=on_window,
        )
    )
    seconds_each = round((time.perf_counter() - began) / max(1, len(jobs)), 3)
    results = [(clip, seeds, path) for clip, _ in batch for seeds, path in clip.outputs]
    for clip, seeds, path in results:
        facts = {"video": clip.video.name, "generation_seconds": seconds_each}
        candidates = [
            Generation(next(sounds), clip.video, pipeline.settings(clip.seconds, seed, decoding) | facts)
            for seed in seeds
        ]
        try:
            _chosen(candidates, clip, selector).save(path)
            yield None
        except VABError as error:
            yield str(error)


def _chosen(candidates: list[Generation], clip: Clip, selector: Selector | None) -> Generation:
    """The only candidate, or the selector's, which then says how it was selected."""
    if selector is None:
        [only] = candidates
        return only
    choice = selector.choose(clip.video, clip.seconds, candidates)
    kept = candidates[choice.index]
    selection = {**choice.numbers, **selector.provenance}
    return replace(kept, settings=kept.settings | {"selection": selection})


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


def _outputs(
    video: Path, name: str, options: GenerateOptions, *, num_videos: int
) -> list[tuple[list[int], Path]]:
    """Seeds and file of each result; the container stays what it was, since the picture is copied."""
    audio = options.audio_only or ("wav" if options.no_mux else None)
    suffix = f".{audio}" if audio else video.suffix
    is_file = options.output.suffix and not options.output.is_dir() and num_videos == 1
    base = options.output.with_suffix("") if is_file else options.output / name
    if is_file and not audio:
        suffix = options.output.suffix
    seeds = [options.seed + index for index in range(options.num_samples)]
    if options.select or len(seeds) == 1:
        return [(seeds, base.with_name(base.name + suffix))]
    return [([seed], base.with_name(f"{base.name}-{index}{suffix}")) for index, seed in enumerate(seeds)]
