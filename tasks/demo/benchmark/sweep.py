"""``vab evaluate sweep``: sampling options against the benchmark's scores; the demo's defaults come from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import vab
from tasks.console import console, numbers_table, say, track
from tasks.demo.benchmark.material import BenchmarkClip, measured_on, prepare_store, read_clips
from tasks.demo.benchmark.run import train_classifier
from tasks.demo.benchmark.scores import SHOWN, score
from tasks.demo.benchmark.systems import generate, seconds_a_clip, sounds_folder
from tasks.demo.options import SweepOptions
from tasks.demo.world import SAMPLE_RATE
from tasks.record import write_record
from vab.features.manifest import Clip
from vab.files import write_atomically
from vab.generation import Generation
from vab.pictures import new_figure, png
from vab.selection import AgreementSelector, ConsensusSelector, SCAVSelector
from vab.shapes import Float, Tensor


def run(options: SweepOptions) -> int:
    """Measure each value, print a table, draw a figure."""
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    pipeline = vab.load(options.weights, device=options.device)
    store = options.store or prepare_store(out, {"test": options.clips}, options.weights, pipeline)
    clips = [clip for clip in read_clips(store, options.clips, pipeline) if clip.source]
    classifier = train_classifier(pipeline, out, options.classifier_clips)
    recommended = pipeline.sampling_options()
    rows: list[dict[str, Any]] = []

    def sounds_of(name: str, sampling: Any, seed: int) -> list[Float[Tensor, "1 L"]]:
        folder = sounds_folder(out, pipeline, sampling) / f"seed-{seed}"
        return generate(name, clips, pipeline, sampling, seed=seed, folder=folder)

    def add_row(option: str, value: float, sounds: Sequence[Tensor], seconds: float) -> None:
        scores = score(sounds, clips, SAMPLE_RATE, classifier)
        rows.append({"option": option, "value": value, "seconds": seconds, **scores})

    swept: dict[str, Sequence[float]] = {
        "num_steps": options.steps,
        "cfg_scale": options.cfg_scale,
        "temperature": options.temperature,
    }
    for name, values in swept.items():
        for value in values if hasattr(recommended, name) else ():
            sampling = replace(recommended, **{name: value})
            seconds = seconds_a_clip(clips[0], pipeline, sampling)
            add_row(name, value, sounds_of(f"{name} {value:g}", sampling, options.seed), seconds)
    samples = [
        sounds_of(f"sample {number}", recommended, options.seed + number)
        for number in range(max(options.best_of, default=0))
    ]
    if samples:
        seconds = seconds_a_clip(clips[0], pipeline, recommended)
        chosen = choose(samples, clips, options)
    for place, count in enumerate(options.best_of):
        kept = [samples[numbers[place]][row] for row, numbers in enumerate(chosen)]
        add_row("best of", count, kept, count * seconds)
    _show(rows)
    _draw(out / "sweep.png", rows)
    measured = measured_on(
        len(clips),
        pipeline,
        recommended,
        "evaluate sweep",
        options,
        kind=", clips with one visible source",
        classifier_clips=options.classifier_clips,
    )
    write_record(out / "sweep.json", "sweep", {"rows": rows}, measured)
    say(f"{out / 'sweep.json'}\n{out / 'sweep.png'}")
    return 0


@dataclass(frozen=True)
class _Kept:
    """A sound that was generated before, as a selector takes it."""

    waveform: Float[Tensor, "1 L"]
    sample_rate: int

    @property
    def num_samples(self) -> int:
        return self.waveform.shape[1]

    def pieces(self) -> Iterator[Float[Tensor, "1 L"]]:
        yield self.waveform


def choose(
    samples: Sequence[Sequence[Float[Tensor, "1 L"]]], clips: Sequence[BenchmarkClip], options: SweepOptions
) -> list[list[int]]:
    """For each clip, of each of ``best_of``, the number of the sample that ``vab generate --select`` would keep."""
    best_of = _best_of(options)
    chosen = []
    for row, clip in enumerate(track(clips, "choosing")):
        named = Clip(clip.id, clip.video)
        chosen.append(best_of([Generation(_Kept(sounds[row], SAMPLE_RATE), named, {}) for sounds in samples]))
    return chosen


def _best_of(options: SweepOptions) -> Callable[[Sequence[Generation]], list[int]]:
    """From one clip's candidates to the best of the first few of them, for each of ``best_of``."""
    if options.select == "consensus":
        consensus = ConsensusSelector()
        return lambda candidates: [consensus.choose(candidates[:count]).index for count in options.best_of]
    weights = vab.load(options.select_weights, device=options.device)
    is_distance = weights.card.type == "scav"
    selector = (SCAVSelector if is_distance else AgreementSelector)(weights)

    def ranked(candidates: Sequence[Generation]) -> list[int]:
        # Of one candidate the number does not depend on the others: all are judged once.
        [judged] = selector.choose(candidates).numbers.values()
        order = sorted(range(len(judged)), key=judged.__getitem__, reverse=not is_distance)
        return [next(number for number in order if number < count) for count in options.best_of]

    return ranked


def _show(rows: list[dict[str, Any]]) -> None:
    title = "one sampling option at a time, the others as the weights recommend"
    table = numbers_table(title, "option", "value", "seconds", *SHOWN.values())
    for row in rows:
        numbers = f"{row['value']:g}", f"{row['seconds']:.1f}"
        table.add_row(row["option"], *numbers, *(f"{row[column]:.3f}" for column in SHOWN))
    console.print(table)


def _draw(path: Path, rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(row["option"] for row in rows))
    figure, all_axes = new_figure(len(names), width=7, row_height=2.6)
    for axes, name in zip(all_axes, names, strict=True):
        chosen = [row for row in rows if row["option"] == name]
        for column in SHOWN:
            axes.plot(
                [f"{row['value']:g}" for row in chosen],
                [row[column] for row in chosen],
                marker="o",
                label=column,
            )
        axes.set_xlabel(name)
        axes.set_ylim(-0.1, 1)
    all_axes[0].legend(fontsize=7, ncols=len(SHOWN))
    write_atomically(path, png(figure, dpi=100))
