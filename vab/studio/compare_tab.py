"""The tab that lets two or more systems give the same clip its sound, blind if wished."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import gradio as gr

from vab.generation import SaveOptions
from vab.studio.players import SamplePlayer
from vab.studio.session import PROGRESS, Sessions, says, told, video_file
from vab.studio.work import MOST_SAMPLES, Request, Sample, Studio

LETTERS = "ABCD"[:MOST_SAMPLES]


def compare_tab(studio: Studio, sessions: Sessions) -> None:
    """Build it."""
    if len(studio.systems) < 2:
        gr.Markdown(
            "One system is open. Name two or more to compare them:\n\n"
            "    vab studio --weights demo runs/mine/model.safetensors"
        )
        return
    made, votes = gr.State([], time_to_live=3600), gr.State([])
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
            with gr.Row(equal_height=True):
                go = gr.Button("Compare systems", variant="primary", min_width=160)
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
        video = video_file(file)
        if not 2 <= len(chosen) <= len(LETTERS):
            raise ValueError(f"choose 2 to {len(LETTERS)} systems")
        job = sessions.begin(request)
        names = random.sample(chosen, len(chosen)) if is_blind else list(chosen)
        samples: list[Sample] = []
        updates: list[Any] = []
        for name, letter, player in zip(names, LETTERS, players, strict=False):
            report = job.reporter(progress, f"generating {letter}")
            generations = studio.generate(Request(video, name, seed=int(seed or 0)), on_progress=report)
            samples += studio.write(generations, SaveOptions(), job.new_folder())
            updates += player.shown(samples[-1], title=letter if is_blind else name, keeps=not is_blind)
        for player in players[len(names) :]:
            updates += player.shown(None)
        choices = [letter if is_blind else name for name, letter in zip(names, LETTERS, strict=False)]
        question = gr.update(choices=choices, value=None, visible=True)
        return [list(zip(names, samples, strict=True)), says("play them, then choose"), question, *updates]

    def choose(choice: str, made: list[tuple[str, Sample]], votes: list[str]) -> list[Any]:
        names = [name for name, _ in made]
        name = choice if choice in names else names[LETTERS.index(choice)]
        votes = [*votes, name]
        told = "; ".join(f"{letter} is {each}" for each, letter in zip(names, LETTERS, strict=False))
        counts = ", ".join(f"{each} {count}" for each, count in Counter(votes).most_common())
        shown = [sample for _, sample in made] + [None] * (len(players) - len(made))
        files = [update for player, each in zip(players, shown, strict=True) for update in player.kept(each)]
        return [votes, says(f"{told}. You chose {name}. So far: {counts}"), *files]

    event = go.click(
        compare,
        [video, systems, seed, is_blind],
        [made, status, best, *shown_players],
        concurrency_id="work",
        show_progress_on=[status],
        api_name="compare",
    )
    stop.click(sessions.stop, None, None, cancels=[event], queue=False, api_visibility="private")
    downloads = [button for player in players for button in player.downloads]
    best.input(choose, [best, made, votes], [votes, status, *downloads], api_visibility="private")
