"""Files, folders and patterns to a list of videos."""

from pathlib import Path

import pytest

from vab.errors import MediaError
from vab.media import find_media


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = ["b.mp4", "a.MOV", "-dash.webm", "notes.txt", "x[1].mp4", ".hidden.mp4"]
    names += ["deep/c.mkv", "deep/c.json", ".cache/d.mp4", "empty/readme.md"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [str(path) for path in paths]


def test_a_folder_gives_its_videos_and_those_below_sorted(folder):
    expected = ["-dash.webm", "a.MOV", "b.mp4", "deep/c.mkv", "x[1].mp4"]
    assert find_media([folder]) == [folder / name for name in expected]
    assert names(find_media(["."])) == expected


def test_a_file_is_taken_as_it_is(folder):
    assert names(find_media(["notes.txt", "-dash.webm", "x[1].mp4"])) == [
        "notes.txt",
        "-dash.webm",
        "x[1].mp4",
    ]


def test_patterns_give_videos_only(folder):
    assert names(find_media(["*.mp4"])) == ["b.mp4", "x[1].mp4"]
    assert names(find_media(["de*"])) == ["deep/c.mkv"]
    assert names(find_media(["**/*.mkv"])) == ["deep/c.mkv"]
    assert names(find_media(["[ab].*"])) == ["a.MOV", "b.mp4"]


def test_order_is_kept_and_each_file_comes_once(folder):
    assert names(find_media(["b.mp4", "*.MOV", "*.mp4"])) == ["b.mp4", "a.MOV", "x[1].mp4"]


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("gone.mp4", r"gone\.mp4: no such file or folder"),
        ("*.avi", r"\*\.avi: no video matches"),
        ("*.txt", r"\*\.txt: no video matches"),
        ("empty", "empty: no video in this folder"),
    ],
)
def test_what_gives_nothing_is_named(folder, missing, reason):
    with pytest.raises(MediaError, match=reason):
        find_media(["b.mp4", missing])
