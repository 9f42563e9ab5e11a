"""``vab generate``: find clips, skip results that are there, report; ``Pipeline.generate_many`` does the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import vab
from tasks.console import progress_bar, say, tell_limits, warn
from tasks.generation.options import GenerateOptions
from tasks.generation.results import Job, Run, without_present, write
from vab import media
from vab.audio import Layout
from vab.errors import ManifestError, MediaError, VABError, describe
from vab.features.manifest import Clip, load_manifest
from vab.files import check_outputs
from vab.generation import SaveOptions, clip_of, settings_file
from vab.pipeline import Pipeline
from vab.selection import AgreementSelector, ConsensusSelector, SCAVSelector, Selector, SynchronySelector
from vab.shapes import Tensor


def run(options: GenerateOptions) -> int:
    """Exit code 0, or 2 where any clip failed or a result is there that was made otherwise."""
    save = SaveOptions(**{field.name: getattr(options, field.name) for field in fields(SaveOptions)})
    clips, failures = _find(options)
    jobs = [
        Job(clip, _outputs(clip, name, options, num_clips=len(clips)))
        for clip, name in zip(clips, _names(clips, options), strict=True)
    ]
    outputs = [path for job in jobs for path in job.outputs.values()]
    twice = next((path for path, count in Counter(outputs).items() if count > 1), None)
    if twice:
        raise VABError(
            f"{twice}: would be the result of two clips; do them into two folders, or use a --list"
        )
    check_outputs([*outputs, *map(settings_file, outputs)], [clip.path for clip in clips])
    jobs = [job for job in jobs if _can_hold(job, options, failures)]
    num_made = num_present = 0
    if jobs:
        pipeline = vab.load(options.weights, device=options.device, dtype=options.dtype)
        tell_limits(pipeline)
        shared = Run(options, save, pipeline, _selector(options), _conditions(options, pipeline), failures)
        if not options.overwrite:
            jobs, num_present = without_present(jobs, shared)
        num_made = _generate(jobs, shared)
    for failure in failures:
        warn(f"vab generate: {failure}")
    present = f", {num_present} there already (--overwrite makes them again)" if num_present else ""
    failed = f", {len(failures)} failed" if failures else ""
    say(f"{num_made} made in {options.output}{present}{failed}")
    return 2 if failures else 0


def _generate(jobs: Sequence[Job], shared: Run) -> int:
    """Make and write what is missing; return how many results were written."""
    options, failures = shared.options, shared.failures
    outputs = {(job.clip.id, job.clip.path): job.outputs for job in jobs}
    num_made = 0
    with progress_bar("clips") as progress:
        task = progress.add_task("generating", total=len(jobs))
        generations = shared.pipeline.generate_many(
            [job.clip for job in jobs],
            seed=options.seed,
            num_samples=options.num_samples,
            steps=options.steps,
            cfg_scale=options.cfg_scale,
            temperature=options.temperature,
            sampling=options.sampling,
            conditions=shared.conditions,
            select=shared.selector,
            batch_size=options.batch_size,
            on_progress=lambda share: progress.advance(task, share),
            on_error=lambda clip, error: failures.append(_failure(clip, error)),
        )
        for generation in generations:
            sample = 0 if shared.selector else generation.settings["sample"]
            path = outputs[generation.clip.id, generation.clip.path].get(sample)
            if path is None:  # there already
                continue
            try:
                write(generation, path, shared.save, overwrite=options.overwrite)
                num_made += 1
            except VABError as error:
                failures.append(str(error))
    return num_made


def _conditions(options: GenerateOptions, pipeline: Pipeline) -> dict[str, Tensor]:
    """What is given instead of being predicted.

    Raises:
        VABError: the layout cannot be read, or is not what the model follows.
    """
    if options.layout is None:
        return {}
    layout = Layout.read(options.layout)
    rate = pipeline.predicted_rates.get("layout")
    if rate is None:
        raise VABError(f"{options.layout}: {options.weights} follows no layout; give the --weights of a tiva")
    bands = pipeline.model.config.predictor.layout_bands
    if (layout.rate, layout.values.shape[1]) != (rate, bands):
        raise VABError(
            f"{options.layout}: has {layout.rate:g} rows of {layout.values.shape[1]} a second, the model follows "
            f"{rate:g} of {bands}; 'vab layout' makes such with --rate {rate:g} --bands {bands}"
        )
    return {"layout": layout.values}


def _failure(clip: Clip, error: Exception) -> str:
    return str(error) if isinstance(error, VABError) else f"{clip.path}: {describe(error)}"


def _selector(options: GenerateOptions) -> Selector | None:
    if options.select == "consensus":
        return ConsensusSelector()
    if options.select == "agreement":
        return AgreementSelector(vab.load(options.select_weights, device=options.device))
    if options.select == "scav":
        return SCAVSelector(vab.load(options.select_weights, device=options.device))
    if options.synchformer is not None:
        return SynchronySelector(options.synchformer, device=options.device)
    return None


def _find(options: GenerateOptions) -> tuple[list[Clip], list[str]]:
    """All clips that inputs and list name, each once, and a line for each input that names none."""
    clips: dict[Path | str, Clip] = {}
    failures = []
    for item in options.inputs:
        try:
            found = media.find_media([item])
            if Path(item).is_dir():
                _say_what_is_skipped(Path(item), found)
            clips.update(
                {path: clip_of(path) for path in found if not _is_result(path, Path(item), options.output)}
            )
        except MediaError as error:
            failures.append(str(error))
    if options.list_ is not None:
        manifest = load_manifest(options.list_, media_root=options.media_root)
        root = options.media_root or options.list_.parent
        if manifest.format in ("vggsound", "audioset") and _is_below(options.output, root):
            raise ManifestError(
                f"{options.output}: lies in {root}, where the list's clips are looked for, so that results would be "
                "taken for clips; choose an output outside of it, or a narrower --media-root"
            )
        wanted = [clip for clip in manifest.clips if options.split in (None, clip.split)]
        if not wanted:
            splits = ", ".join(sorted({clip.split for clip in manifest.clips})) or "none"
            raise ManifestError(
                f"{options.list_}: no clip to do whose file is there; splits: {splits}; "
                f"{len(manifest.missing)} clips have no file (--media-root says where files are)"
            )
        clips.update({clip.id: clip for clip in wanted})
        if manifest.missing:
            warn(
                f"vab generate: {len(manifest.missing)} listed clips have no file (first: {manifest.missing[0]})"
            )
    chosen = list(clips.values())
    if (longest := options.duration) is not None:
        chosen = [replace(clip, duration=min(longest, clip.duration or longest)) for clip in chosen]
    return chosen, failures


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _is_result(path: Path, item: Path, output: Path) -> bool:
    """Whether a file was found in the output folder, in passing: an earlier run's result."""
    return output.is_dir() and path != item and _is_below(path, output) and not _is_below(item, output)


def _say_what_is_skipped(folder: Path, found: list[Path]) -> None:
    known = set(found)
    skipped = Counter(
        path.suffix.lower() or path.name
        for path in folder.rglob("*")
        if path not in known and path.is_file() and not path.name.startswith(".")
    )
    if skipped:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in skipped.most_common())
        warn(f"vab generate: {folder}: skipped what is no video by its suffix: {kinds}")


def _names(clips: list[Clip], options: GenerateOptions) -> list[str]:
    """A name for each clip's results: its id, with its folder's name before it where the ids of files collide."""
    count = Counter(clip.id for clip in clips)
    longer = (f"{clip.path.resolve().parent.name}-{clip.path.name.replace('.', '-')}" for clip in clips)
    return [clip.id if count[clip.id] == 1 else name for clip, name in zip(clips, longer, strict=True)]


def _outputs(clip: Clip, name: str, options: GenerateOptions, *, num_clips: int) -> dict[int, Path]:
    """File of each result; the container stays what it was, since the frames are copied."""
    is_file = options.output.suffix and not options.output.is_dir()
    if is_file and num_clips > 1:
        raise VABError(f"{options.output}: one file for {num_clips} clips; name a folder")
    base = options.output.with_suffix("") if is_file else options.output / name
    suffix = ".mp4" if options.transcode else clip.path.suffix
    if is_file:
        suffix = options.output.suffix
    if options.audio_only:
        suffix = f".{options.audio_only}"
    if options.select or options.num_samples == 1:
        return {0: base.with_name(base.name + suffix)}
    return {sample: base.with_name(f"{base.name}-{sample}{suffix}") for sample in range(options.num_samples)}


def _can_hold(job: Job, options: GenerateOptions, failures: list[str]) -> bool:
    """Whether the results' containers can hold the sound, and the clip's frames where they are copied."""
    path = job.outputs[0]
    if path.suffix.lower() in media.AUDIO_SUFFIXES:
        return True
    if path.suffix.lower() not in media.MUX_SUFFIXES:
        failures.append(
            f"{job.clip.path}: {path.suffix or 'a file without suffix'} cannot hold the new sound; add --transcode for "
            f"an .mp4 with its frames encoded anew, or --audio-only wav; known: {' '.join(media.MUX_SUFFIXES)}"
        )
        return False
    try:
        if not options.transcode and options.duration is None:
            media.check_mux(job.clip.path, path)
    except MediaError as error:
        failures.append(str(error))
        return False
    return True
