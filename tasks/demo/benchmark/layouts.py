"""``vab evaluate layout``: whether the sound follows a layout that was edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torchaudio

import vab
from tasks.console import console, numbers_table, say
from tasks.demo.benchmark.material import BenchmarkClip, measured_on, read_clips
from tasks.demo.benchmark.systems import generate, sounds_folder
from tasks.demo.options import LayoutEditsOptions
from tasks.record import write_record
from vab.audio import layout as layouts
from vab.audio.layout import Layout, LayoutResolution, layout_of
from vab.errors import VABError
from vab.metrics.onsets import detect_onsets
from vab.shapes import Float, Tensor

WINDOW = 0.1
"""Seconds within which an onset counts as an event: a row of the layout."""
SHIFT = 0.5
"""Seconds by which an event is moved."""
ROOM = 1.0
"""Seconds without another event after the one that is edited."""


@dataclass(frozen=True)
class Edit:
    """A change of a layout, and how one hears that it was followed."""

    apply: Callable[[Layout, float, float], Layout]
    """From a layout and the beginning and end of an event's rows."""
    sounds_at: tuple[float, ...]
    """Seconds after the event where an onset is wanted."""
    silent_at: tuple[float, ...]
    """Seconds after the event where none is."""


def _copied(layout: Layout, start: float, stop: float) -> Layout:
    later = layout.moved(start, stop, SHIFT)
    return replace(layout, values=torch.maximum(layout.values, later.values))


EDITS = {
    "erased": Edit(lambda layout, start, stop: layout.erased(start, stop), (), (0.0,)),
    "moved": Edit(lambda layout, start, stop: layout.moved(start, stop, SHIFT), (SHIFT,), (0.0,)),
    "added": Edit(_copied, (0.0, SHIFT), ()),
}


def run(options: LayoutEditsOptions) -> int:
    """Edit, generate, listen for onsets, print a table."""
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    pipeline = vab.load(options.weights, device=options.device)
    rate = pipeline.predicted_rates.get("layout")
    if rate is None:
        raise VABError(f"{options.weights} follows no layout; give the --weights of a tiva")
    resolution = LayoutResolution(rate, pipeline.model.config.predictor.layout_bands)
    everything = read_clips(options.store, 10**6, pipeline)
    events = {clip.id: event for clip in everything if (event := _editable(clip)) is not None}
    clips = [clip for clip in everything if clip.id in events][: options.clips]
    if not clips:
        raise VABError(
            f"{options.store} has no clip with a visible event that {ROOM:g} s without another follow"
        )
    sampling, sample_rate = pipeline.sampling_options(), pipeline.generator.sample_rate
    folder = sounds_folder(out, pipeline, sampling) / f"seed-{options.seed}"

    def sounds_of(name: str, edit: Callable[[Layout, float, float], Layout]) -> list[Float[Tensor, "1 L"]]:
        edited = []
        for clip in clips:
            start = int(events[clip.id] * rate) / rate
            waveform = torchaudio.functional.resample(clip.waveform, sample_rate, layouts.SAMPLE_RATE)
            layout = edit(Layout(layout_of(waveform, resolution), rate), start, start + SHIFT)
            edited.append(replace(clip, conditions={**clip.conditions, "layout": layout.values}))
        return generate(name, edited, pipeline, sampling, seed=options.seed, folder=folder / name)

    unedited = sounds_of("unedited", lambda layout, start, stop: layout)
    rows = {}
    for name, edit in EDITS.items():
        edited = sounds_of(name, edit.apply)
        rows[name] = {
            "before": _share(unedited, clips, edit, events, sample_rate),
            "after": _share(edited, clips, edit, events, sample_rate),
        }
    _show(rows, len(clips))
    measured = measured_on(
        len(clips),
        pipeline,
        sampling,
        "evaluate layout",
        options,
        kind=f", clips with an event that {ROOM:g} s without another follow",
    )
    write_record(out / "layout.json", "layout", {"edits": rows}, measured)
    say(str(out / "layout.json"))
    return 0


def _editable(clip: BenchmarkClip) -> float | None:
    """Time of the first event of a clip that has room after it; None: it has none."""
    if clip.source is None or clip.kind != "impact":
        return None
    times = clip.event_times.tolist()
    ends = [*times[1:], clip.truth["duration"]]
    return next((time for time, end in zip(times, ends, strict=True) if end - time >= ROOM), None)


def _share(
    sounds: Sequence[Float[Tensor, "1 L"]],
    clips: Sequence[BenchmarkClip],
    edit: Edit,
    events: dict[str, float],
    sample_rate: int,
) -> float:
    """Of sounds that have onsets where they are wanted and none where not."""
    followed = 0
    for sound, clip in zip(sounds, clips, strict=True):
        onsets = detect_onsets(sound, sample_rate)

        def is_heard(after: float, onsets: Tensor = onsets, event: float = events[clip.id]) -> bool:
            return bool(((onsets - event - after).abs() <= WINDOW).any())

        followed += all(map(is_heard, edit.sounds_at)) and not any(map(is_heard, edit.silent_at))
    return followed / len(clips)


def _show(rows: dict[str, dict[str, Any]], num_clips: int) -> None:
    table = numbers_table(f"one event of {num_clips} layouts", "", "so without the edit", "followed")
    for name, row in rows.items():
        table.add_row(name, f"{row['before']:.0%}", f"{row['after']:.0%}")
    console.print(table)
