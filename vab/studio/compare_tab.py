"""The tab that lets two or more systems give the same clip its sound, blind if wished."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import gradio as gr

from vab.generation import SaveOptions
from vab.studio.players import SamplePlayer
from vab.studio.session import PROGRESS, Sessions, says, told
from vab.studio.work import MOST_SAMPLES, Request, Studio

LETTERS = "ABCD"[:MOST_SAMPLES]


def compare_tab(studio: Studio, sessions: Sessions) -> None:
    """Build it."""
    if len(studio.systems) < 2:
        gr.Markdown(
            "One system is open. Name two or more to compare them:\n\n"
            "    vab studio --weights demo runs/mine/model.safetensors"
        )
        return
    order, votes = gr.State([]), gr.State([])
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            video = gr.Video(label="Video to compare on", sources=["upload", "webcam"])
        with gr.Column(scale=3, min_width=300):
            systems = gr.CheckboxGroup(
                studio.systems, value=studio.systems[: len(LETTERS)], label=f"Systems, up to {len(LETTERS)}"
            )
            with gr.Row():
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                is_blind = gr.Checkbox(True, label="Blind: names are shown after the choice")
            with gr.Row():
                go = gr.Button("Compare systems", variant="primary")
                stop = gr.Button("Cancel", variant="stop", min_width=80)
            status = gr.HTML(says("Drop a video, then compare."), padding=False)
            best = gr.Radio([], label="Which fits the frames best?", visible=False)
    with gr.Row():
        players = [SamplePlayer(number + 1) for number in range(len(LETTERS))]
    shown_players = [component for player in players for component in player.components]

    @told
    def compare(
        file: str | None,
        chosen: list[str],
        seed: float,
        is_blind: bool,
        request: gr.Request,
        progress: gr.Progress = PROGRESS,
    ) -> list[Any]:
        if file is None:
            raise ValueError("no video yet: drop one, or record one with the webcam")
        if not 2 <= len(chosen) <= len(LETTERS):
            raise ValueError(f"choose 2 to {len(LETTERS)} systems")
        job = sessions.begin(request)
        names = random.sample(chosen, len(chosen)) if is_blind else list(chosen)
        updates: list[Any] = []
        for name, letter, player in zip(names, LETTERS, players, strict=False):
            report = job.reporter(progress, f"generating {letter}")
            made = studio.generate(Request(Path(file), name, seed=int(seed or 0)), on_progress=report)
            [sample] = studio.write(made, SaveOptions(), job.new_folder())
            updates += player.shown(sample, title=letter if is_blind else name, keeps=not is_blind)
        for player in players[len(names) :]:
            updates += player.shown(None)
        choices = [letter if is_blind else name for name, letter in zip(names, LETTERS, strict=False)]
        question = gr.update(choices=choices, value=None, visible=True)
        return [names, says("play them, then choose"), question, *updates]

    def choose(choice: str | None, names: list[str], votes: list[str]) -> list[Any]:
        if choice is None:
            return [votes, gr.skip()]
        name = choice if choice in names else names[LETTERS.index(choice)]
        votes = [*votes, name]
        told = "; ".join(f"{letter} is {each}" for each, letter in zip(names, LETTERS, strict=False))
        counts = ", ".join(f"{each} {count}" for each, count in Counter(votes).most_common())
        return [votes, says(f"{told}. You chose {name}. So far: {counts}")]

    event = go.click(
        compare,
        [video, systems, seed, is_blind],
        [order, status, best, *shown_players],
        concurrency_id="work",
        show_progress_on=[status],
        api_name="compare",
    )
    stop.click(sessions.stop, None, None, cancels=[event], queue=False, api_visibility="private")
    best.input(choose, [best, order, votes], [votes, status], api_visibility="private")
