"""Jobs of an open tab: stopped for good, their files gone with the tab."""

from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from vab.errors import MediaError

gradio = pytest.importorskip("gradio", reason="needs the extra vab[studio]")
session = pytest.importorskip("vab.studio.session")


def tab(name: str) -> Any:
    return gradio.Request(session_hash=name)


@pytest.fixture
def sessions(tmp_path: Path) -> Any:
    return session.Sessions(tmp_path)


def test_a_stopped_job_stays_stopped_when_the_next_begins(sessions: Any) -> None:
    told: list[str] = []
    first = sessions.begin(tab("a"))
    report = first.reporter(lambda share, desc: told.append(desc), "generating")
    report(0.0)
    report(0.5)
    report(1.0)
    assert (told[0], told[2]) == ("generating: reading frames", "generating: writing files")
    assert "s left" in told[1]
    other = sessions.begin(tab("b"))
    sessions.stop(tab("a"))
    second = sessions.begin(tab("a"))
    for ended in (lambda: report(0.6), first.new_folder):
        with pytest.raises(session.Stopped):
            ended()
    assert second.new_folder().is_dir() and other.new_folder().is_dir()


def test_a_closed_tab_takes_its_files_along_and_no_others(sessions: Any, tmp_path: Path) -> None:
    mine, others = sessions.begin(tab("../a")).new_folder(), sessions.begin(tab("b")).new_folder()
    assert mine.is_relative_to(tmp_path)  # a name from the browser is no path
    sessions.close(tab("../a"))
    assert not mine.exists() and others.is_dir()
    sessions.close(tab("never begun"))


def test_only_the_latest_results_of_a_tab_are_kept(sessions: Any) -> None:
    folders = [sessions.begin(tab("a")).new_folder() for _ in range(12)]
    assert not folders[0].exists() and folders[-1].exists()


def test_errors_are_one_line_without_temporary_folders() -> None:
    @session.told
    def fails(error: Exception) -> None:
        raise error

    for error, said in (
        (MediaError(f"{gettempdir()}/x/clip.mp4: no\nvideo"), "clip.mp4: no video"),
        (ValueError("seed"), "seed"),
        (MemoryError(), "not enough memory; give a shorter duration or fewer samples"),
        (
            OSError(28, "No space left on device", f"{gettempdir()}/x"),
            "files cannot be written (No space left on device); the studio's disk may be full",
        ),
        (session.Stopped(), "stopped"),
    ):
        with pytest.raises(gradio.Error) as caught:
            fails(error)
        assert caught.value.message == said


def test_a_number_may_be_left_empty() -> None:
    assert [session.optional(int, text, "steps") for text in (None, " ", " 8 ")] == [None, None, 8]
    assert session.optional(float, "1.5", "guidance") == 1.5
    for kind, text in ((int, "1.5"), (int, "many"), (float, "nan"), (float, "1e999")):
        with pytest.raises(ValueError, match="steps"):
            session.optional(kind, text, "steps")
