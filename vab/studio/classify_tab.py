"""The tab that names what is heard and seen, over time."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vab.studio.session import Sessions, says, told, video_file
from vab.studio.work import Studio


def classify_tab(studio: Studio, sessions: Sessions) -> None:
    """Build it."""
    with gr.Row():
        with gr.Column(min_width=300):
            video = gr.Video(label="Video to classify", sources=["upload", "webcam"])
        with gr.Column(min_width=300):
            with gr.Row():
                every = gr.Number(1.0, label="A row every so many seconds", minimum=0.1)
                window = gr.Number(2.0, label="Seconds looked at around each", minimum=0.1)
            go = gr.Button("Classify clip", variant="primary")
            status = gr.HTML(says("Drop a video, then classify."), padding=False)
            with gr.Column(visible=False) as whole:
                overall = gr.Label(label="The whole clip")
    with gr.Row(visible=False) as over_time:
        timeline = gr.Image(
            label="Classes over time", elem_classes="picture", interactive=False, buttons=["fullscreen"]
        )
        moments = gr.Radio([], label="Moments: choose one to jump to it", elem_classes="moments")

    @told
    def classify(file: str | None, every: float, window: float, request: gr.Request) -> list[Any]:
        video = video_file(file)
        folder = sessions.begin(request).new_folder()
        found = studio.classify(video, folder, every=every or 0, window=window or 0)
        choices = [(f"{time:.1f} s: {words}", time) for time, words in found.moments]
        text = says(f"{len(choices)} moments; choose one to jump to it")
        listed = gr.update(choices=choices, value=None)
        return [*[gr.update(visible=True)] * 2, found.overall, str(found.picture), listed, text]

    go.click(
        classify,
        [video, every, window],
        [whole, over_time, overall, timeline, moments, status],
        concurrency_id="work",
        show_progress_on=[status],
        api_name="classify",
    )
    moments.input(
        lambda time: gr.update(playback_position=time),
        moments,
        video,
        show_progress="hidden",
        api_visibility="private",
    )
