"""The page: tabs of Gradio's components around a ``Studio``."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vab.errors import ConfigError
from vab.studio.classify_tab import classify_tab
from vab.studio.compare_tab import compare_tab
from vab.studio.generate_tab import generate_tab
from vab.studio.guard import NOWHERE, ON_THIS_MACHINE, Guard
from vab.studio.layout_tab import layout_tab
from vab.studio.search_tab import search_tab
from vab.studio.session import Sessions
from vab.studio.work import Studio

MOST_WAITING = 16
"""Jobs in the queue; one runs at a time."""
FILE_SECONDS = 3600
"""Files that were sent are removed after this."""
_TABS: dict[str, Callable[[Studio, Sessions], None]] = {
    "Generate": generate_tab,
    "Search": search_tab,
    "Classify": classify_tab,
    "Compare": compare_tab,
    "Layout": layout_tab,
}
_STYLE = """
.gradio-container { max-width: 1280px !important; width: 100%; margin: auto; }
.moments .wrap { flex-direction: column; flex-wrap: nowrap; max-height: 360px; overflow-y: auto; }
video { max-height: 320px; }
:focus-visible { outline: 3px solid #3b82f6 !important; outline-offset: 2px; }
.thumbnail-item .caption-label { max-width: 100%; white-space: normal; overflow-wrap: anywhere; padding: 2px 4px;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; }
.picture [data-testid=block-label] { clip-path: inset(50%); }
.pending [role=status] { visibility: hidden; }
body:not(.dark) [role=tab][aria-selected=true] { color: #1d4ed8; }
"""
_SCRIPT = """
() => {
  const name = () => document.querySelectorAll(".block").forEach(block => {
    const label = block.querySelector("[data-testid=block-label]")?.textContent.trim();
    const unnamed = block.querySelectorAll("video, button:not([aria-label]) img");
    if (label) unnamed.forEach(each => each.ariaLabel = label);
  });
  new MutationObserver(name).observe(document.body, {childList: true, characterData: true, subtree: true});
}
"""
"""Players and pictures get the name of their component, which Gradio only shows beside them."""


def _theme() -> gr.themes.Base:
    """Plain, with fonts of the system alone and text of a contrast of 4.5 or more."""
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return theme.set(
        button_large_text_size="*text_md",
        button_large_padding="*spacing_md *spacing_lg",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_600",
    )


class Page(gr.Blocks):
    """The page, with what it needs as long as it is served."""

    studio: Studio
    temporary_folder: tempfile.TemporaryDirectory[str]

    def close(self, verbose: bool = True) -> None:
        """Stop serving, and remove the files that were sent and made."""
        super().close(verbose)
        self.temporary_folder.cleanup()


def make_page(studio: Studio, folder: tempfile.TemporaryDirectory[str]) -> Page:
    """The page, not yet served; ``folder`` is for the files of open tabs."""
    sessions = Sessions(Path(folder.name))
    with Page(title="VAB studio", analytics_enabled=False, delete_cache=(60, FILE_SECONDS)) as page:
        gr.Markdown("# VAB studio\nGive a video its sound, choose, keep; search, classify and compare clips.")
        with gr.Tabs(overflow_behavior="wrap"):
            for name, tab in _TABS.items():
                with gr.Tab(name):
                    tab(studio, sessions)
        page.unload(sessions.close)
    page.studio, page.temporary_folder = studio, folder
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=1)
    return page


def serve(studio: Studio, *, host: str, port: int | None, max_upload_mb: int) -> Page:
    """Serve the page and load the first system behind it; see ``vab.studio.launch``.

    Raises:
        ConfigError: the port is in use.
    """
    folder = tempfile.TemporaryDirectory(prefix="vab-studio-")
    # Gradio reads these when a file is sent; files are then in this folder, which goes with the process.
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    page = make_page(studio, folder)
    names = ["*"] if host in ("0.0.0.0", "::") else [host, "127.0.0.1", "localhost", "[::1]"]
    # A notebook shows the page in a frame.
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=names),
        Middleware(Guard, frames=ON_THIS_MACHINE if gr.utils.ipython_check() else NOWHERE),
    ]
    try:
        page.launch(
            server_name=host,
            server_port=port,
            max_file_size=f"{max_upload_mb}mb",
            show_error=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            footer_links=[],
            prevent_thread_lock=True,
            theme=_theme(),
            css=_STYLE,
            js=_SCRIPT,
            app_kwargs={"middleware": guards},
            _frontend=False,  # no request to itself, which a busy machine or a proxy would let fail
        )
    except OSError as error:
        raise ConfigError(
            f"{host}: cannot listen on port {port or 'any'} ({error}); choose another --port"
        ) from error
    threading.Thread(target=studio.pipeline, args=[studio.systems[0]]).start()
    return page
