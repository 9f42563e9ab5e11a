"""``vab layout``: a video or a sound in, its audio layout out."""

from __future__ import annotations

from dataclasses import replace

import vab
from tasks.console import say, tell_limits
from tasks.layout.options import LayoutOptions
from tasks.pictures import new_figure
from vab import media
from vab.audio.layout import SAMPLE_RATE, Layout, LayoutResolution, layout_of
from vab.files import check_outputs, complete_file
from vab.generation import clip_of


def run(options: LayoutOptions) -> int:
    """Write the layout."""
    check_outputs([options.output], [*options.inputs, *([options.audio] if options.audio else [])])
    layout = _of_video(options) if options.audio is None else _of_audio(options)
    if options.output.suffix.lower() == ".json":
        layout.write(options.output)
    else:
        _draw(layout, options)
    rows, bands = layout.values.shape
    say(f"{rows} rows of {bands}, {layout.rate:g} a second, in {options.output}")
    return 0


def _of_video(options: LayoutOptions) -> Layout:
    assert options.weights is not None
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


def _draw(layout: Layout, options: LayoutOptions) -> None:
    """Time to the right, frequency upwards, the louder the brighter."""
    figure, [axes] = new_figure(1)
    rows, bands = layout.values.shape
    seconds = rows / layout.rate
    axes.imshow(
        layout.values.T.numpy(),
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, bands),
        cmap="magma",
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
    )
    axes.set_xlabel("seconds", fontsize=8)
    axes.set_ylabel("band", fontsize=8)
    with complete_file(options.output) as partial:
        figure.savefig(partial, dpi=100)
