"""The tab where an audio layout is predicted, edited and followed (TiVA)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from vab.audio import Layout
from vab.generation import SaveOptions
from vab.studio.players import SamplePlayer
from vab.studio.session import PROGRESS, Job, Sessions, says, told, video_file
from vab.studio.work import Request, Studio, draw_layout_of


def layout_tab(studio: Studio, sessions: Sessions) -> None:
    """Build it."""
    if not studio.layout_systems:
        gr.Markdown(
            "No system that follows an audio layout is open. Start the studio with one:\n\n"
            "    vab studio --weights demo demo-tiva"
        )
        return
    held = gr.State(None, time_to_live=3600)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            video = gr.Video(label="Video to lay out", sources=["upload", "webcam"])
        with gr.Column(scale=3, min_width=300):
            with gr.Row():
                system = gr.Dropdown(
                    studio.layout_systems, value=studio.layout_systems[0], label="System", min_width=220
                )
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            with gr.Row():
                start = gr.Number(0.0, label="From, s", minimum=0)
                stop = gr.Number(1.0, label="To, s", minimum=0)
                by = gr.Number(0.5, label="Later by, s (to move)")
            with gr.Row():
                low = gr.Number(1, label="Lowest band (to paint)", precision=0, minimum=1)
                high = gr.Number(5, label="Highest band (to paint)", precision=0, minimum=1)
                level = gr.Slider(0, 1, value=0.8, step=0.05, label="Loudness (to paint)")
            with gr.Row(equal_height=True):
                predict = gr.Button("Predict layout", min_width=140)
                erase = gr.Button("Erase", min_width=80)
                move = gr.Button("Move", min_width=80)
                paint = gr.Button("Paint", min_width=80)
                go = gr.Button("Generate from it", variant="primary", min_width=160)
            status = gr.HTML(says("Drop a video, then predict its layout."), padding=False)
    with gr.Column(visible=False) as column:
        picture = gr.Image(
            label="Frames and audio layout", elem_classes="picture", interactive=False, buttons=["fullscreen"]
        )
        download = gr.DownloadButton("JSON of the layout", size="sm")
    player = SamplePlayer(1)
    shown_layout = [held, column, picture, download, status]

    def shown(layout: Layout, file: Path, job: Job, text: str) -> list[Any]:
        folder = job.new_folder()
        (folder / "layout.png").write_bytes(draw_layout_of(layout, file))
        layout.write(folder / "layout.json")
        files = [str(folder / name) for name in ("layout.png", "layout.json")]
        return [layout, gr.update(visible=True), *files, says(text)]

    @told
    def predicted(file: str | None, system: str, request: gr.Request) -> list[Any]:
        path, job = video_file(file), sessions.begin(request)
        return shown(studio.predict_layout(path, system), path, job, "predicted; now edit it")

    def edited(change: Callable[..., Layout], numbers: list[Any], text: str) -> Callable[..., list[Any]]:
        @told
        def answer(values: dict[Any, Any], request: gr.Request) -> list[Any]:
            if values[held] is None or values[video] is None:
                raise ValueError("no layout yet: drop a video, then predict its layout")
            if None in values.values():
                raise ValueError("a number is missing: give all that erase, move and paint ask for")
            layout = change(values[held], *(values[number] for number in numbers))
            return shown(layout, Path(values[video]), sessions.begin(request), text)

        return answer

    def painted(layout: Layout, start: float, stop: float, low: int, high: int, level: float) -> Layout:
        return layout.painted(start, stop, range(low - 1, high), level)

    @told
    def generate(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = PROGRESS) -> list[Any]:
        file, job = video_file(values[video]), sessions.begin(request)
        wanted = Request(file, values[system], seed=int(values[seed] or 0), layout=values[held])
        made = studio.generate(wanted, on_progress=job.reporter(progress, "generating"))
        [sample] = studio.write(made, SaveOptions(), job.new_folder())
        return [says("made from the layout"), *player.shown(sample)]

    works: dict[str, Any] = {"concurrency_id": "work", "show_progress_on": [status]}
    predict.click(predicted, [video, system], shown_layout, api_name="predict_layout", **works)
    inputs: set[Any] = {held, video, start, stop, by, low, high, level}
    edits: list[tuple[gr.Button, Callable[..., Layout], list[Any], str]] = [
        (erase, Layout.erased, [start, stop], "erased"),
        (move, Layout.moved, [start, stop, by], "moved"),
        (paint, painted, [start, stop, low, high, level], "painted"),
    ]
    for button, change, numbers, text in edits:
        button.click(edited(change, numbers, text), inputs, shown_layout, api_visibility="private", **works)
    given: set[Any] = {video, system, seed, held}
    go.click(generate, given, [status, *player.components], api_name="generate_from_layout", **works)
