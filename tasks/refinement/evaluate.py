"""``vab evaluate refinement``: true codes in all codebooks, in the coarse ones, and those refined (table 15)."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vab
from tasks.console import console, numbers_table, say, track
from tasks.options import command_line
from tasks.record import conditions, of_pipeline, write_record
from tasks.refinement.options import RefinementOptions
from tasks.refinement.run import chosen_sampling, how_made
from vab import media
from vab.codecs.sound import CodedSound
from vab.config import to_dict, to_record
from vab.errors import StoreError, VABError
from vab.features.dataset import FeatureDataset
from vab.features.store import FeatureStore
from vab.files import write_atomically
from vab.metrics.frechet import FrechetDistance
from vab.metrics.spectra import MFCC_RATE, log_mel_distance, mfcc
from vab.pipeline import Pipeline
from vab.timing import num_samples

TRUTH = "truth"


@dataclass(frozen=True)
class System:
    """One way of hearing a clip's codes."""

    name: str
    folder: str
    num_codebooks: int
    """True codebooks that it starts from."""
    num_steps: int | None = None
    """Of refining them; None = they are heard as they are."""


def run(options: RefinementOptions) -> int:
    """Print a table, write JSON."""
    store = FeatureStore(options.store)
    pipeline = vab.load(options.weights, device=options.device)
    pipeline.card.check_store(store)
    refiner = pipeline.refiner
    indices = store.select(split=options.split)
    if not indices:
        raise StoreError(
            f"{options.store} has no clips in split {options.split!r}; it has: {', '.join(store.splits)}"
        )
    data = FeatureDataset(
        store,
        indices[: options.clips],
        num_codebooks=refiner.num_codebooks,
        streams={"codes": None, **refiner.condition_rates},
    )
    systems = _systems(refiner.num_codebooks, refiner.num_coarse_codebooks, options.steps)
    settings: dict[str, Any] = {
        "options": to_record(options),
        "sampling": to_dict(_sampling(pipeline, options, None)),
        "store": options.store.name,
        **how_made(pipeline),
    }
    _check_same_settings(options.output / "settings.json", settings)
    seconds = _make_sounds(data, systems, pipeline, options)
    metrics = {system.name: _measure(data, system, options.output, pipeline) for system in systems}
    _add_shares(metrics, systems)
    clips = f"{options.store.name}/{options.split}"
    measured = conditions(
        clips=clips,
        num_clips=len(data),
        num_expected=len(indices) if options.clips is None else options.clips,
        clip_seconds=store.info.clip_seconds,
        sampling=settings["sampling"],
        seed=options.seed,
        command=command_line("evaluate refinement", options),
        **of_pipeline(pipeline),
    )
    numbers = {"systems": metrics, "seconds_a_clip": seconds}
    write_record(options.output / "refinement.json", "refinement", numbers, measured)
    _show(metrics, f"{len(data)} clips of {clips}")
    say(f"numbers in {options.output / 'refinement.json'}")
    return 0


def _systems(num_codebooks: int, num_coarse: int, steps: Sequence[int]) -> list[System]:
    return [
        System(f"all {num_codebooks} codebooks", "all", num_codebooks),
        System(f"first {num_coarse} codebooks", "coarse", num_coarse),
        *(
            System(f"first {num_coarse} + coarse-to-fine, {each} steps", f"refined-{each}", num_coarse, each)
            for each in steps
        ),
    ]


def _sampling(pipeline: Pipeline, options: RefinementOptions, num_steps: int | None) -> Any:
    return chosen_sampling(pipeline.refiner, num_steps, options.cfg_scale, options.temperature)


def _check_same_settings(path: Path, settings: dict[str, Any]) -> None:
    """Sounds of another measurement are never taken for this one's."""
    text = json.dumps(settings, indent=2, default=str) + "\n"
    if path.exists() and path.read_text() != text:
        raise VABError(f"{path.parent} holds another measurement; choose another folder with -o")
    write_atomically(path, text)


def _make_sounds(
    data: FeatureDataset, systems: Sequence[System], pipeline: Pipeline, options: RefinementOptions
) -> dict[str, float]:
    """Write every sound that is not there yet; seconds a clip of each kind of work done now."""
    spent: dict[str, list[float]] = defaultdict(list)
    rows_of_all = range(len(data))
    pieces = [rows_of_all[start : start + options.batch_size] for start in rows_of_all[:: options.batch_size]]
    for rows in track(pieces, "refining", total=len(data), size=len):
        batch = data.__getitems__([(row, 0) for row in rows])
        codes = [
            clip[:, valid]
            for clip, valid in zip(batch.streams["codes"], batch.is_valid["codes"], strict=True)
        ]
        lengths = [
            min(
                each.shape[1] * pipeline.codec.hop_length,
                num_samples(data.store.info.clip_seconds, pipeline.codec.sample_rate),
            )
            for each in codes
        ]
        for row, length in zip(rows, lengths, strict=True):
            _write_truth(data, row, length, pipeline, options.output)
        for system in systems:
            files = [_file(data, row, system.folder, options.output) for row in rows]
            if all(file.exists() for file in files):
                continue
            made = [each[: system.num_codebooks] for each in codes]
            if system.num_steps is not None:
                began = time.perf_counter()
                made = list(
                    pipeline.refiner.refine(
                        made,
                        batch.clips(),
                        options=_sampling(pipeline, options, system.num_steps),
                        seeds=[options.seed + row for row in rows],
                        batch_size=options.batch_size,
                    )
                )
                spent[f"refining, {system.num_steps} steps"].append((time.perf_counter() - began) / len(rows))
            for file, each, length in zip(files, made, lengths, strict=True):
                began = time.perf_counter()
                sound = torch.cat(list(CodedSound(each, pipeline.codec, length).pieces()), dim=1)
                spent["codec decoding"].append(time.perf_counter() - began)
                file.parent.mkdir(parents=True, exist_ok=True)
                media.write_audio(file, [sound], pipeline.codec.sample_rate)
    return {name: round(float(np.mean(values)), 4) for name, values in spent.items()}


def _write_truth(data: FeatureDataset, row: int, length: int, pipeline: Pipeline, output: Path) -> None:
    """The true sound, at the codec's rate and at the length of the codes."""
    file = _file(data, row, TRUTH, output)
    if file.exists():
        return
    clip = data.store.clips[data.indices[row]]
    rate = pipeline.codec.sample_rate
    sound = media.read_audio(Path(clip.source), rate, start=clip.start, duration=length / rate)
    assert sound.shape[1] == num_samples(length / rate, rate)
    file.parent.mkdir(parents=True, exist_ok=True)
    media.write_audio(file, [sound], rate)


def _measure(data: FeatureDataset, system: System, output: Path, pipeline: Pipeline) -> dict[str, float]:
    """Mean log-mel distance in dB, and Frechet distance of MFCC frames, to the true sounds."""
    rate = pipeline.codec.sample_rate
    frechet = FrechetDistance(mfcc(torch.zeros(1, MFCC_RATE)).shape[1])
    distances = []
    for row in track(range(len(data)), system.name):
        ours, truth = (_file(data, row, folder, output) for folder in (system.folder, TRUTH))
        distances.append(log_mel_distance(media.read_audio(ours, rate), media.read_audio(truth, rate), rate))
        for file, is_generated in ((ours, True), (truth, False)):
            frechet.update(mfcc(media.read_audio(file, MFCC_RATE)), is_generated=is_generated)
    return {"log_mel": float(np.mean(distances)), "fdm": frechet.compute()}


def _add_shares(metrics: dict[str, dict[str, float]], systems: Sequence[System]) -> None:
    """How much of the gap between the coarse codebooks and all each refinement closes, where there is one."""
    everything, coarse, *refined = (metrics[system.name] for system in systems)
    for name in ("log_mel", "fdm"):
        gap = coarse[name] - everything[name]
        if gap > 0:  # else the metric hears nothing of the fine codebooks, and there is nothing to give back
            for each in refined:
                each[f"{name}_gap_closed"] = (coarse[name] - each[name]) / gap


def _file(data: FeatureDataset, row: int, folder: str, output: Path) -> Path:
    name = data.store.clips.ids[data.indices[row]].replace("/", "_")
    return output / "sounds" / folder / f"{name}.flac"


def _show(metrics: dict[str, dict[str, float]], title: str) -> None:
    table = numbers_table(title, "", "log-mel, dB", "gap closed", "Frechet (MFCC)", "gap closed")
    for name, numbers in metrics.items():
        cells = []
        for metric, form in (("log_mel", ".2f"), ("fdm", ".1f")):
            share = numbers.get(f"{metric}_gap_closed")
            cells += [f"{numbers[metric]:{form}}", "" if share is None else f"{share:.0%}"]
        table.add_row(name, *cells)
    console.print(table)
