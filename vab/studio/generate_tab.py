"""The tab that gives a video its sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from vab.generation import Generation, SaveOptions
from vab.studio.players import MixControls, SamplePlayer
from vab.studio.session import PROGRESS, Sessions, optional, says, told, video_file
from vab.studio.work import MOST_SAMPLES, Request, Studio


def generate_tab(studio: Studio, sessions: Sessions) -> None:
    """Build it."""
    made = gr.State([], time_to_live=3600)
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            video = gr.Video(label="Video", sources=["upload", "webcam"])
        with gr.Column(scale=3, min_width=300):
            with gr.Row():
                system = gr.Dropdown(studio.systems, value=studio.systems[0], label="System", min_width=220)
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                samples = gr.Slider(1, MOST_SAMPLES, value=1, step=1, label="Samples")
            with gr.Accordion("Decoding and duration", open=False), gr.Row():
                # Texts, as Gradio's page makes a 0 of a number that is to be empty.
                steps = gr.Textbox(label="Steps", placeholder="recommended", min_width=120)
                cfg_scale = gr.Textbox(label="Guidance, 1 is none", placeholder="recommended", min_width=120)
                temperature = gr.Textbox(label="Temperature", placeholder="recommended", min_width=120)
                duration = gr.Textbox(label="Duration, s", placeholder="all of the video", min_width=120)
            with gr.Accordion("Mix and loudness", open=False):
                mix = MixControls()
            with gr.Row(equal_height=True):
                go = gr.Button("Generate audio", variant="primary", min_width=140)
                again = gr.Button("Again, new seed", min_width=140)
                stop = gr.Button("Cancel", variant="stop", min_width=80)
            status = gr.HTML(says("Drop a video, then generate."), padding=False)
    with gr.Row():
        players = [SamplePlayer(number + 1) for number in range(MOST_SAMPLES)]
    results = [component for player in players for component in player.components]

    def shown(generations: Sequence[Generation], save: SaveOptions, folder: Path) -> list[Any]:
        written = studio.write(generations, save, folder)
        padded = [*written, *[None] * (MOST_SAMPLES - len(written))]
        return [update for player, each in zip(players, padded, strict=True) for update in player.shown(each)]

    @told
    def generate(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = PROGRESS) -> list[Any]:
        file, job = video_file(values[video]), sessions.begin(request)
        wanted = Request(
            file,
            values[system],
            seed=int(values[seed] or 0),
            num_samples=int(values[samples]),
            steps=optional(int, values[steps], "steps"),
            cfg_scale=optional(float, values[cfg_scale], "guidance"),
            temperature=optional(float, values[temperature], "temperature"),
            duration=optional(float, values[duration], "duration"),
        )
        generations = studio.generate(wanted, on_progress=job.reporter(progress, "generating"))
        text = f"{len(generations)} made with {wanted.system}, seed {wanted.seed}; play, then keep one"
        return [generations, says(text), *shown(generations, mix.options(values), job.new_folder())]

    @told
    def remix(values: dict[Any, Any], request: gr.Request) -> list[Any]:
        if not values[made]:
            return [gr.skip()] * (1 + len(results))
        save, folder = mix.options(values), sessions.begin(request).new_folder()
        return [says("mixed anew"), *shown(values[made], save, folder)]

    inputs = {video, system, seed, samples, steps, cfg_scale, temperature, duration, *mix.components}
    outputs = [made, status, *results]
    works: dict[str, Any] = {"concurrency_id": "work", "show_progress_on": [status], "scroll_to_output": True}
    first = go.click(generate, inputs, outputs, api_name="generate", **works)
    second = again.click(lambda seed: int(seed or 0) + 1, seed, seed, api_visibility="private").then(
        generate, inputs, outputs, api_visibility="private", **works
    )
    stop.click(sessions.stop, None, None, cancels=[first, second], queue=False, api_visibility="private")
    mixed: set[Any] = {made, *mix.components}
    for control in mix.components:
        control.change(remix, mixed, [status, *results], concurrency_id="work", api_visibility="private")
