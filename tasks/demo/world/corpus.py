"""A corpus on disk: clips rendered in parallel processes, each with its truth, and one manifest."""

import csv
import json
import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.console import track
from tasks.demo.world.rendering import render
from tasks.demo.world.sampling import sample_scene
from tasks.demo.world.scene import FPS, SAMPLE_RATE, SPLITS
from tasks.demo.world.truth import CORPUS_VERSION, clip_name, ground_truth
from vab.errors import ConfigError, VABError
from vab.files import complete_file, remove_leftovers, write_atomically
from vab.media.write import write_clip

logger = logging.getLogger(__name__)

MANIFEST_NAME = "manifest.csv"
FAILURES_NAME = "failures.csv"
MANIFEST_COLUMNS = ("id", "path", "split", "label", "labels", "caption")
HELD_OUT_SHARE = 0.05
MAX_POOLS = 5


@dataclass(frozen=True)
class ClipJob:
    """One clip to render: what decides its content, and the folder of the corpus."""

    out: Path
    seed: int
    split: str
    index: int
    duration: float

    @property
    def video(self) -> Path:
        """Where the clip goes."""
        return self.out / self.split / f"{clip_name(self.seed, self.split, self.index)}.mp4"

    @property
    def truth(self) -> Path:
        """Where its truth goes; written after the clip, so it marks a finished one."""
        return self.video.with_suffix(".json")


def split_counts(num_clips: int) -> dict[str, int]:
    """``num_clips`` as 90 % training, 5 % validation and 5 % test clips, at least one of each from three on."""
    held_out = max(1, round(HELD_OUT_SHARE * num_clips)) if num_clips >= len(SPLITS) else 0
    return {"train": num_clips - 2 * held_out, "validation": held_out, "test": held_out}


def write_corpus(
    out: Path,
    clips: int | dict[str, int],
    seed: int = 0,
    duration: float = 10.0,
    workers: int = 2,
) -> Path:
    """Render a corpus and return its manifest (``out/manifest.csv``).

    ``clips`` is a total, split 90/5/5, or a count for each split. Each clip is ``<split>/<id>.mp4`` with
    ``<split>/<id>.json`` beside it. A clip whose truth is there from the same settings is not rendered again,
    so an interrupted run resumes; the same seed gives the same decoded frames and samples.
    ``workers`` processes render (0: this one does).
    A clip that fails is logged, listed with its reason in ``failures.csv`` and left out of the manifest; when
    none succeeds a :class:`VABError` is raised.
    """
    counts = split_counts(clips) if isinstance(clips, int) else clips
    if unknown := set(counts) - set(SPLITS):
        raise ConfigError(f"unknown splits {sorted(unknown)}; Foley world has {', '.join(SPLITS)}")
    jobs = [ClipJob(out, seed, split, i, duration) for split in SPLITS for i in range(counts.get(split, 0))]
    if not jobs:
        raise ConfigError("a corpus of no clips was asked for; ask for at least one")
    for split in {job.split for job in jobs}:
        (out / split).mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    failures: dict[int, str] = {}
    for position, reason in track(_run(jobs, workers), "rendering", total=len(jobs)):
        if reason is not None:
            logger.warning("%s: not rendered (%s)", jobs[position].video, reason)
            failures[position] = reason
    if len(failures) == len(jobs):
        raise VABError(f"{out}: no clip could be rendered; the first failed with: {failures[0]}")
    rows = [_manifest_row(job) for position, job in enumerate(jobs) if position not in failures]
    _write_table(
        out / FAILURES_NAME,
        ("id", "reason"),
        [
            {"id": jobs[position].video.stem, "reason": reason}
            for position, reason in sorted(failures.items())
        ],
    )
    _write_table(out / MANIFEST_NAME, MANIFEST_COLUMNS, rows)
    return out / MANIFEST_NAME


def _run(jobs: list[ClipJob], workers: int) -> Iterator[tuple[int, str | None]]:
    if workers == 0:
        yield from map(_render_safely, enumerate(jobs))
        return
    # Spawned, not forked: torch and FFmpeg threads of the parent do not survive a fork.
    context = multiprocessing.get_context("spawn")
    waiting = dict(enumerate(jobs))
    for _ in range(MAX_POOLS):
        with ProcessPoolExecutor(min(workers, len(waiting)), context, initializer=_quiet_threads) as pool:
            futures = [pool.submit(_render_safely, job) for job in waiting.items()]
            try:
                for future in as_completed(futures):
                    position, reason = future.result()
                    del waiting[position]
                    yield position, reason
            except BrokenProcessPool:
                # A worker was killed (out of memory, say), which takes its pool along; the rest go to a new one.
                logger.warning("a rendering process died; going on with the %d clips left", len(waiting))
            finally:
                pool.shutdown(cancel_futures=True)
        if not waiting:
            return
    for position in list(waiting):
        yield position, f"rendering processes died {MAX_POOLS} times; try fewer workers or shorter clips"


def _quiet_threads() -> None:
    # One thread a worker: the processes are the parallelism.
    os.environ["OMP_NUM_THREADS"] = "1"


def _render_safely(job: tuple[int, ClipJob]) -> tuple[int, str | None]:
    position, clip = job
    try:
        render_clip(clip)
    except Exception as error:
        # Whatever is wrong with one clip, the others are still wanted.
        return position, f"{type(error).__name__}: {error}"
    return position, None


def render_clip(job: ClipJob) -> None:
    """Render one clip and its truth, unless they are there from the same settings."""
    if _is_done(job):
        return
    scene = sample_scene(job.seed, job.split, job.index, job.duration)
    frames, waveform = render(scene)
    write_clip(job.video, frames, FPS, waveform, SAMPLE_RATE)
    write_atomically(job.truth, json.dumps(ground_truth(scene), separators=(",", ":")))


def _is_done(job: ClipJob) -> bool:
    if not (job.video.is_file() and job.truth.is_file()):
        return False
    try:
        truth = json.loads(job.truth.read_text())
    except json.JSONDecodeError:
        return False
    found = tuple(truth.get(key) for key in ("version", "seed", "split", "index", "duration"))
    return found == (CORPUS_VERSION, job.seed, job.split, job.index, round(job.duration * FPS) / FPS)


def _manifest_row(job: ClipJob) -> dict[str, str]:
    truth: dict[str, Any] = json.loads(job.truth.read_text())
    return {
        "id": truth["id"],
        "path": job.video.relative_to(job.out).as_posix(),
        "split": job.split,
        "label": truth["label"],
        "labels": "|".join(truth["labels"]),
        "caption": truth["captions"][0],
    }


def _write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    with complete_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
