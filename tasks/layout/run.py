"""``vab layout``: a video or a sound in, its audio layout out."""

from __future__ import annotations

from dataclasses import replace

import vab
from tasks.console import say, tell_limits
from tasks.layout.options import LayoutOptions
from vab import media
from vab.audio.layout import SAMPLE_RATE, Layout, LayoutResolution, layout_of
from vab.files import check_outputs, write_atomically
from vab.generation import clip_of
from vab.pictures import draw_layout


def run(options: LayoutOptions) -> int:
    """Write the layout."""
    check_outputs([options.output])
    layout = _of_video(options) if options.audio is None else _of_audio(options)
    if options.output.suffix.lower() == ".json":
        layout.write(options.output)
    else:
        write_atomically(options.output, draw_layout(layout.values, layout.rate))
    rows, bands = layout.values.shape
    say(f"{rows} rows of {bands}, {layout.rate:g} a second, in {options.output}")
    return 0


def _of_video(options: LayoutOptions) -> Layout:
    pipeline = vab.load(options.weights, device=options.device)
    tell_limits(pipeline)
    clip = replace(clip_of(options.inputs[0]), duration=options.duration)
    predicted = pipeline.predict_conditions(clip)
    return Layout(predicted["layout"], pipeline.predicted_rates["layout"])


def _of_audio(options: LayoutOptions) -> Layout:
    assert options.audio is not None
    resolution = LayoutResolution(options.rate, options.bands)
    waveform = media.read_audio(options.audio, SAMPLE_RATE, duration=options.duration)
    return Layout(layout_of(waveform, resolution), options.rate)
