"""The tab that searches indexes by text, by a video or by a sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from vab.media import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from vab.retrieval.options import Branch
from vab.studio.session import Sessions, says, told
from vab.studio.work import Found, Studio

BRANCHES: dict[str, Branch | None] = {"the other modality": None, "frames": "video", "audio": "audio"}
MOST_FOUND = 30


def search_tab(studio: Studio, sessions: Sessions) -> None:
    """Build it."""
    if not studio.indexes:
        gr.Markdown(
            "No index is open. Make one of your clips and start the studio with it:\n\n"
            "    vab index build videos -o index\n    vab studio --index index"
        )
        return
    results = gr.State([], time_to_live=3600)
    with gr.Row():
        with gr.Column(min_width=300):
            text = gr.Textbox(label="Text: what can be seen in one frame", max_length=1000)
            by_text = gr.Button("Search by text", variant="primary")
        with gr.Column(min_width=300):
            file = gr.File(label="Video or sound", file_types=[*VIDEO_SUFFIXES, *AUDIO_SUFFIXES], height=120)
            with gr.Row(equal_height=True):
                by_frames = gr.Button("Search by its frames", min_width=120)
                by_audio = gr.Button("Search by its audio", min_width=120)
    with gr.Row():
        branch = gr.Radio(list(BRANCHES), value=next(iter(BRANCHES)), label="Look in")
        top = gr.Slider(1, MOST_FOUND, value=10, step=1, label="Results")
    status = gr.HTML(says("What is found plays from the moment that matched."), padding=False)
    with gr.Row():
        gallery = gr.Gallery(
            label="Found clips, best first",
            columns=3,
            allow_preview=False,
            interactive=False,
            buttons=[],
            height=420,
        )
        with gr.Column(min_width=300):
            video = gr.Video(label="The moment that matched", interactive=False, autoplay=True)
            audio = gr.Audio(label="The moment that matched", interactive=False, autoplay=True, visible=False)
            with gr.Row(equal_height=True):
                more_frames = gr.Button("More by its frames", min_width=120, interactive=False)
                more_audio = gr.Button("More by its audio", min_width=120, interactive=False)
    chosen = gr.State(None)

    def shown(found: list[Found]) -> list[Any]:
        pictures = [(str(each.picture), each.title) for each in found if each.picture]
        playable = [each for each in found if each.picture]
        problems = [f"{each.title}: {each.problem}" for each in found if each.problem]
        text = "; ".join([f"{len(found)} clips", *problems])
        return [playable, says(text), gr.update(value=pictures, selected_index=None)]

    @told
    def search(query: dict[str, Any], where: str, top: float, request: gr.Request) -> list[Any]:
        if not any(query.values()):
            raise ValueError("nothing to search by yet: write a text, or drop a file")
        folder = sessions.begin(request).new_folder()
        return shown(studio.search(folder, in_=BRANCHES[where], top=int(top), **query))

    def text_search(text: str, where: str, top: float, request: gr.Request) -> list[Any]:
        return search({"text": text.strip()}, where, top, request)

    def file_search(modality: str) -> Any:
        def answer(file: str | None, where: str, top: float, request: gr.Request) -> list[Any]:
            return search({modality: file and Path(file)}, where, top, request)

        return answer

    def more(modality: Branch) -> Any:
        @told
        def answer(each: Found | None, where: str, top: float, request: gr.Request) -> list[Any]:
            if each is None:
                raise ValueError("choose a found clip first")
            folder = sessions.begin(request).new_folder()
            return shown(studio.search_more(folder, each, modality, in_=BRANCHES[where], top=int(top)))

        return answer

    @told
    def play(found: list[Found], event: gr.SelectData) -> list[Any]:
        each = found[event.index]
        is_video = each.clip is not None and each.clip.suffix == ".mp4"
        return [
            each,
            gr.update(value=str(each.clip) if is_video else None, visible=is_video, label=each.title),
            gr.update(value=None if is_video else str(each.clip), visible=not is_video, label=each.title),
            *[gr.update(interactive=True)] * 2,
        ]

    works: dict[str, Any] = {"concurrency_id": "work", "show_progress_on": [status]}
    outputs = [results, status, gallery]
    typed = [by_text.click, text.submit]
    gr.on(typed, text_search, [text, branch, top], outputs, api_name="search_text", **works)
    by_frames.click(file_search("video"), [file, branch, top], outputs, api_name="search_video", **works)
    by_audio.click(file_search("audio"), [file, branch, top], outputs, api_name="search_audio", **works)
    gallery.select(play, [results], [chosen, video, audio, more_frames, more_audio], api_visibility="private")
    more_frames.click(more("video"), [chosen, branch, top], outputs, api_visibility="private", **works)
    more_audio.click(more("audio"), [chosen, branch, top], outputs, api_visibility="private", **works)
