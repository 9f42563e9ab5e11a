"""kill -9 in the middle of an extraction: the store comes out the same, and nothing is done twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import feature_fakes
from feature_fakes import add_to_fakes, contents, extract_fakes

from vab.features.status import Counts, status


def killed_at(what: str, store: Path, landmark: Path) -> None:
    """Run in a process of its own until a file is there, then end it."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, feature_fakes.__file__, what, str(store)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
    )
    while not landmark.exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_extraction_resumes_to_the_same_store(tmp_path: Path) -> None:
    store = tmp_path / "killed"
    # Once in the middle of the first shard, once in the middle of the second.
    for landmark in ("parts/00000/00004.jsonl", "parts/00001/00002.jsonl"):
        killed_at("extract", store, store / landmark)
    before = status(store).total
    assert before.num_done + before.num_failed > 15 and before.num_missing > 0
    report = extract_fakes(store)
    assert Counts(before.num_done + report.num_done, before.num_failed + report.num_failed, 0) == Counts(
        34, 6, 0
    )
    extract_fakes(tmp_path / "unbroken")
    assert contents(store) == contents(tmp_path / "unbroken")

    killed_at("add", store, store / "streams" / "clip25" / "parts" / "00001" / "00003.jsonl")
    [before] = (added.total for added in status(store).added)
    report = add_to_fakes(store)
    assert before.num_done >= 15 and before.num_done + report.num_done == 34
    add_to_fakes(tmp_path / "unbroken")
    assert contents(store) == contents(tmp_path / "unbroken")
