"""Parts that several tabs share: a sample to play and keep, and how a sound is mixed."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vab.generation import SaveOptions
from vab.studio.work import Sample, save_options

LOUDNESS = {"as generated": None, "-16 LUFS (podcasts, web)": -16.0, "-23 LUFS (EBU R 128)": -23.0}
MIX = {
    "replace the video's own audio": "replace",
    "keep it below, at a level": "level",
    "duck it where the new one sounds": "duck",
}


class SamplePlayer:
    """A soundtrack on its video, what it looks like, and its files to keep."""

    def __init__(self, number: int) -> None:
        with gr.Column(visible=False, min_width=300, elem_classes="sample") as self.column:
            self.video = gr.Video(label=f"Sample {number}", interactive=False, buttons=[])
            self.picture = gr.Image(
                label=f"Waveform and spectrogram of sample {number}",
                elem_classes="picture",
                interactive=False,
                buttons=["fullscreen"],
            )
            self.onsets = gr.Markdown()
            with gr.Row(equal_height=True):
                self.downloads = [
                    gr.DownloadButton(f"{kind} of sample {number}", size="sm", min_width=80)
                    for kind in ("MP4", "WAV", "JSON")
                ]

    @property
    def components(self) -> list[Any]:
        """What ``shown`` gives values to."""
        return [self.column, self.video, self.picture, self.onsets, *self.downloads]

    def shown(self, sample: Sample | None, *, title: str = "", keeps: bool = True) -> list[Any]:
        """Updates that show a sample, under its own title or another, or nothing.

        Its files say how it was made: they can be downloaded where ``keeps``.
        """
        files = self.kept(sample if keeps else None)
        if sample is None:
            return [gr.update(visible=False), *[gr.update(value=None)] * 2, "", *files]
        title = title or sample.title
        times = ", ".join(f"{time:.2f}" for time in sample.onsets) or "none"
        return [
            gr.update(visible=True),
            gr.update(value=str(sample.video), label=title),
            gr.update(value=str(sample.picture)),
            f"Onsets, in seconds: {times}",
            *files,
        ]

    def kept(self, sample: Sample | None) -> list[Any]:
        """Updates of ``downloads``: they give a sample's files, or are hidden."""
        if sample is None:
            return [gr.update(value=None, visible=False)] * len(self.downloads)
        return [gr.update(value=str(path), visible=True) for path in sample.files]


class MixControls:
    """How the new sound is joined to the video's own."""

    def __init__(self) -> None:
        self.mix = gr.Radio(list(MIX), value=next(iter(MIX)), label="The video's own audio")
        with gr.Row():
            self.level = gr.Slider(-40, 6, value=-6, step=1, label="Its level, dB (where it is kept)")
            self.loudness = gr.Dropdown(list(LOUDNESS), value=next(iter(LOUDNESS)), label="Loudness")
            self.peak = gr.Slider(-12, 0, value=-1, step=0.5, label="Peak limit, dB below full scale")

    @property
    def components(self) -> list[Any]:
        """All of them."""
        return [self.mix, self.level, self.loudness, self.peak]

    def options(self, values: dict[Any, Any]) -> SaveOptions:
        """What was chosen, of the values of all components."""
        mix, loudness = MIX[values[self.mix]], LOUDNESS[values[self.loudness]]
        return save_options(mix, values[self.level], loudness, values[self.peak])
