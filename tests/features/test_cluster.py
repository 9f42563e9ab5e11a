"""Work on Dask's workers: the same bytes as in one process, whichever worker dies."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_fakes import FakeCodec, contents, fake_clips, fake_makers, read_fake
from tiny import write_tiny_clip, write_tiny_model

from tasks import cli
from vab.cluster import Cluster
from vab.errors import VABError
from vab.features.extract import ExtractionOptions, Progress, extract
from vab.retrieval.database import FILE

distributed = pytest.importorskip("distributed", reason="needs vab[dask]")
import dask  # noqa: E402


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Two worker processes of one thread each."""
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
    ):
        yield cluster


def test_a_worker_killed_in_the_middle_changes_nothing_in_the_store(workers: Any, tmp_path: Path) -> None:
    clips = fake_clips(*(f"{'bad' if n % 6 == 4 else 'full'}-{n}" for n in range(14)))
    options = ExtractionOptions(clip_seconds=1.0, shard_size=5, batch_size=2)
    extract(clips, tmp_path / "alone", fake_makers(), options, reader=read_fake)
    killed = []

    def kill(progress: Progress) -> None:
        if progress.num_done and not killed:
            killed.append(next(iter(workers.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)

    report = extract(
        clips,
        tmp_path / "spread",
        fake_makers(),
        options,
        reader=read_fake,
        on_progress=kill,
        cluster=Cluster(workers.scheduler_address, fake_makers),
    )
    assert killed and (report.num_done, report.num_failed) == (12, 2)
    assert contents(tmp_path / "spread") == contents(tmp_path / "alone")


def test_workers_with_other_weights_are_refused(workers: Any, tmp_path: Path) -> None:
    other = FakeCodec()
    other.fingerprint = "d" * 16
    cluster = Cluster(workers.scheduler_address, partial(fake_makers, codec=other))
    with pytest.raises(VABError, match="give all machines the same weights"):
        extract(
            fake_clips("full-1"),
            tmp_path,
            fake_makers(),
            ExtractionOptions(),
            reader=read_fake,
            cluster=cluster,
        )


def test_files_are_embedded_and_indexed_as_in_one_process(
    workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = str(write_tiny_model(tmp_path / "tiny.safetensors"))
    clips = [write_tiny_clip(tmp_path / "media" / f"{n}.mp4", 1.0 + n, seed=n) for n in range(3)]
    clips[1].write_bytes(b"not a video")
    monkeypatch.chdir(tmp_path)  # where the workers are not
    engine = ["--engine", "dask", "--scheduler", workers.scheduler_address]
    settings = ["--weights", weights, "--device", "cpu"]
    for name, more in (("alone", []), ("spread", engine)):
        words = [
            "embed",
            *(f"media/{clip.name}" for clip in clips),
            *settings,
            "-o",
            str(tmp_path / f"{name}.npy"),
            *more,
        ]
        assert cli.main(words) == 2
        words = ["index", "build", str(tmp_path / "media"), *settings, "-o", str(tmp_path / name), *more]
        assert cli.main(words) == 2, "one file is broken"
    assert np.load(tmp_path / "alone.npy").shape == (2, 32)
    assert (tmp_path / "alone.npy").read_bytes() == (tmp_path / "spread.npy").read_bytes()
    alone, spread = (_content(tmp_path / name) for name in ("alone", "spread"))
    assert alone == spread and "video.faiss" in alone


def test_what_cannot_work_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["extract", str(tmp_path), "--store", str(tmp_path / "store"), "--engine", "dask"]
    write_tiny_clip(tmp_path / "clip.mp4")
    assert cli.main(words) == 2
    assert "--engine dask and --scheduler ADDRESS go together" in capsys.readouterr().err
    with pytest.raises(VABError, match="no Dask scheduler answers"):
        next(Cluster("tcp://127.0.0.1:9", fake_makers).map(read_fake, []))


def _content(path: Path) -> dict[str, bytes | list[str]]:
    content: dict[str, bytes | list[str]] = {file.name: file.read_bytes() for file in path.glob("*.faiss")}
    with sqlite3.connect(path / FILE) as connection:
        content["rows"] = list(connection.iterdump())
    return content
