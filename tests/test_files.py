"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
from pathlib import Path

import pytest
import torch

from vab import files
from vab.checkpoint import save_tensors
from vab.errors import VABError


def test_a_file_is_whole_and_alone_in_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    files.write_atomically(path, "ä")
    assert path.read_text(encoding="utf-8") == "ä"
    files.write_atomically(path, b"bytes")
    assert path.read_bytes() == b"bytes"
    assert list(path.parent.iterdir()) == [path]


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".json")
    files.write_atomically(path, "there")
    assert path.read_text() == "there"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.npy"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.complete_file(path) as partial:
        assert partial.suffix == ".npy" and partial.name.startswith(".")
        partial.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    for mine in (None, "partial"):
        with pytest.raises(OSError) as caught, files.complete_file(tmp_path / "file.json") as partial:
            raise OSError(errno.ENOSPC, "No space left on device", *([str(partial)] if mine else []))
        assert caught.value.filename == str(tmp_path / "file.json")


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_killed_run_left_is_found_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (".hidden", "some.partial", "folder.partial.json")]
    for path in kept:
        path.touch()
    left = []
    for name in ("one.jsonl", "two", "deep/three.mp4"):
        context = files.complete_file(tmp_path / name)
        left.append(context.__enter__())
        left[-1].write_text("half")
    files.remove_leftovers(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_others_may_read_what_the_user_lets_them(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    save_tensors(tmp_path / "weights.safetensors", {"a": torch.zeros(1)}, {})
    files.write_atomically(tmp_path / "text", "words")
    assert (tmp_path / "weights.safetensors").stat().st_mode == plain.stat().st_mode
    assert (tmp_path / "text").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("link", ["none", "symbolic", "hard", "folder"])
def test_an_output_that_is_an_input_is_refused(tmp_path: Path, link: str) -> None:
    clip = tmp_path / "clips" / "clip.mp4"
    files.write_atomically(clip, "pictures")
    output = clip if link == "none" else tmp_path / "out" / "clip.mp4"
    output.parent.mkdir(exist_ok=True)
    if link == "symbolic":
        output.symlink_to(clip)
    elif link == "hard":
        output.hardlink_to(clip)
    elif link == "folder":
        output.parent.rmdir()
        output.parent.symlink_to(clip.parent)
    with pytest.raises(VABError, match=r"clip\.mp4: would overwrite the input"):
        files.check_outputs([tmp_path / "other.mp4", output], [clip])
    files.check_outputs([tmp_path / "other.mp4"], [clip, tmp_path / "absent.mp4"])


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VABError, match=r"file/x\.json: cannot be written"):
        files.check_outputs([tmp_path / "file" / "x.json"])
    with pytest.raises(VABError, match="is a folder"):
        files.check_outputs([tmp_path])
    files.check_outputs([tmp_path / "deep" / "folder" / "x.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_killed_process_left_of_an_output_goes_and_nothing_else(tmp_path: Path) -> None:
    def killed_while_writing(path: Path) -> None:
        with files.complete_file(path):
            os._exit(9)

    for name in ("report.json", "other.json"):
        process = multiprocessing.get_context("fork").Process(
            target=killed_while_writing, args=(tmp_path / name,)
        )
        process.start()
        process.join()
    with files.complete_file(tmp_path / "report.json") as mine:
        assert len(list(tmp_path.iterdir())) == 3
        files.check_outputs([tmp_path / "report.json"])
        left = set(tmp_path.iterdir())
        assert len(left) == 2 and mine in left
