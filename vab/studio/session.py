"""What belongs to one open tab of a browser: its files, whether it was stopped, how errors are told to it."""

from __future__ import annotations

import functools
import hashlib
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from vab.errors import VABError

PROGRESS = gr.Progress()
"""Default of the argument by which Gradio gives a callback its progress bar."""
Number = TypeVar("Number", int, float)
_FOLDERS_KEPT = 8
"""Of one tab."""


class Stopped(Exception):
    """The user stopped the work, or closed the tab."""


class Job:
    """One piece of work for an open tab."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """End it at its next report of progress, or before it writes files."""
        self._is_stopped.set()

    def new_folder(self) -> Path:
        """An empty folder; those of the tab's latest jobs stay, which may still be on its page.

        Raises:
            Stopped: it was stopped.
        """
        self._go_on()
        by_age = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for old in by_age[:-_FOLDERS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._folder))

    def reporter(self, progress: Callable[..., Any], text: str) -> Callable[[float], None]:
        """What the work calls with the share that is done: shows it and the time left, and ends what was stopped."""
        began = time.monotonic()

        def report(share: float) -> None:
            self._go_on()
            left = (time.monotonic() - began) * (1 - share) / share if share else 0.0
            stage = f"{text}, about {left:.0f} s left"
            if share == 0 or share >= 1:
                stage = f"{text}: {'writing files' if share else 'reading frames'}"
            progress(share, desc=stage)

        return report

    def _go_on(self) -> None:
        if self._is_stopped.is_set():
            raise Stopped


class Sessions:
    """The latest job and the folder of every open tab, by Gradio's session hash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: dict[str, Job] = {}

    def begin(self, request: gr.Request) -> Job:
        """A job for the tab of a request."""
        folder = self._folder_of(request)
        folder.mkdir(exist_ok=True)
        job = self._jobs[str(request.session_hash)] = Job(folder)
        return job

    def stop(self, request: gr.Request) -> None:
        """End the tab's job."""
        if job := self._jobs.pop(str(request.session_hash), None):
            job.stop()

    def close(self, request: gr.Request) -> None:
        """The tab was closed: end its job and remove its files."""
        self.stop(request)
        shutil.rmtree(self._folder_of(request), ignore_errors=True)

    def _folder_of(self, request: gr.Request) -> Path:
        digest = hashlib.sha256(str(request.session_hash).encode()).hexdigest()
        return self._folder / f"tab-{digest[:16]}"


def told(work: Callable[..., Any]) -> Callable[..., Any]:
    """A callback whose errors are one line on the page, without the names of temporary folders."""

    @functools.wraps(work)
    def checked(*arguments: Any, **named: Any) -> Any:
        try:
            return work(*arguments, **named)
        except Stopped:
            raise gr.Error("stopped", title="Stopped", duration=3, print_exception=False) from None
        except (VABError, ValueError, MemoryError, OSError) as error:
            raise gr.Error(_one_line(error), duration=None, print_exception=False) from error

    return checked


def says(text: str) -> str:
    """A line that screen readers read when it changes."""
    return f'<div role="status">{escape(text)}</div>'


def video_file(sent: str | None) -> Path:
    """The video that was sent.

    Raises:
        ValueError: none was.
    """
    if sent is None:
        raise ValueError("no video yet: drop one, or record one with the webcam")
    return Path(sent)


def optional(kind: Callable[[str], Number], text: str | None, name: str) -> Number | None:
    """The number that was typed; None = nothing was.

    Raises:
        ValueError: it is no number of that kind.
    """
    if text is None or not text.strip():
        return None
    try:
        number = kind(text)
    except ValueError:
        raise ValueError(f"{name}: {text.strip()!r} is no number; leave it empty for the default") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {number}")
    return number


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory; give a shorter duration or fewer samples"
    if isinstance(error, OSError):  # such as a full disk
        return f"files cannot be written ({error.strerror or error}); the studio's disk may be full"
    words = " ".join(str(error).split()).split(" ")
    return " ".join(
        Path(word).name if word.startswith(f"{tempfile.gettempdir()}/") else word for word in words
    )
