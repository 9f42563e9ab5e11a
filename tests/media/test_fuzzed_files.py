"""Damaged files of every container: decoded or refused in one line, without a crash, a hang or much memory."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from made_clips import clicks, steady, write_made_clip

PROGRAM = Path(__file__).with_name("fuzzing.py").read_text()
# Video codec, sound codec and its rate.
MADE: dict[str, tuple[str | None, str | None, int]] = {
    "mp4": ("libx264", "aac", 48_000),
    "mkv": ("mpeg4", "libopus", 48_000),
    "webm": ("libvpx", "libopus", 48_000),
    "mov": ("mjpeg", "pcm_s16le", 8_000),
    "avi": ("mpeg4", "libmp3lame", 44_100),
    "gif": ("gif", None, 0),
    "wav": (None, "pcm_s16le", 8_000),
    "flac": (None, "flac", 16_000),
    "mp3": (None, "libmp3lame", 16_000),
    "ogg": (None, "libopus", 48_000),
}
PIXEL_FORMATS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


def read_damaged(folder: Path, per_file: int) -> dict[str, dict[str, str]]:
    """Outcomes by file and reader, once it is sure that nothing crashed, hung or took much memory."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(per_file)],
        capture_output=True,
        text=True,
        check=False,
    )
    left = [str(path) for path in folder.with_name("damaged").iterdir()]
    assert done.returncode == 0, f"{left}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    # One whole picture of the largest size that is read takes 200 MB.
    assert found["grown_megabytes"] < 250
    for name, readers in found["outcomes"].items():
        for reader, said in readers.items():
            is_one_line = name in said and "\n" not in said and ": " in said
            is_ours = said.startswith(str(folder.with_name("damaged")))
            assert said == "decoded" or (is_one_line and is_ours), f"{reader} of {name}: {said}"
    return found["outcomes"]


def test_damaged_copies_of_every_container(tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    for suffix, (video, sound, rate) in MADE.items():
        write_made_clip(
            folder / f"made.{suffix}",
            steady(6) if video else None,
            size=(32, 32),
            video_codec=video or "",
            pixel_format=PIXEL_FORMATS.get(video or "", "yuv420p"),
            video_options={} if suffix == "gif" else {"g": "3"},
            sound=clicks([0.1, 0.2], 0.3 if video else 2.5, rate) if sound else None,
            sample_rate=rate,
            audio_codec=sound or "",
        )
    outcomes = read_damaged(folder, per_file=50)
    assert len(outcomes) == 50 * len(MADE) == 500
    # The damage is neither so light that nothing is refused nor so heavy that nothing is read.
    counts = Counter(
        (Path(name).suffix[1:], said == "decoded")
        for name, readers in outcomes.items()
        for said in readers.values()
    )
    assert all(counts[suffix, True] >= 10 for suffix in MADE)
    assert sum(counts[suffix, False] for suffix in MADE if MADE[suffix][0] and MADE[suffix][1]) >= 100


def test_damaged_copies_of_awkward_files(shared_data, tmp_path):
    awkward = shared_data / "awkward"
    if not awkward.is_dir():
        pytest.skip(f"no awkward files at {awkward}")
    folder = tmp_path / "whole"
    folder.mkdir()
    for path in awkward.iterdir():
        if path.suffix != ".csv" and 0 < path.stat().st_size < 200_000:
            (folder / path.name).symlink_to(path)
    assert len(read_damaged(folder, per_file=2)) >= 10
