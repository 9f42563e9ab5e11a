"""An index kept by LanceDB: the answers of FAISS, whatever interrupts it, and while another process adds to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from index_fakes import DIM, INFO, add_fake, fake_vectors
from tiny import write_tiny_clip, write_tiny_model

from tasks import cli

pytest.importorskip("lancedb", reason="needs vab[lancedb]")
from vab.errors import RetrievalError
from vab.retrieval import lance
from vab.retrieval.backends import create_database, open_database
from vab.retrieval.base import BRANCHES, IndexInfo
from vab.retrieval.building import verify_index
from vab.retrieval.database import Database
from vab.retrieval.index import SearchIndex
from vab.retrieval.lance import LanceDatabase
from vab.retrieval.options import IndexKind


def _both(tmp_path: Path) -> tuple[LanceDatabase, Database]:
    return LanceDatabase.create(tmp_path / "lance", INFO), Database.create(tmp_path / "faiss", INFO)


def test_it_answers_as_faiss_does(tmp_path: Path) -> None:
    both = _both(tmp_path)
    for database in both:
        database.add_root(tmp_path)
        for number in range(6):
            add_fake(database, f"it's {number}", fake_vectors(1 + number, seed=number))
        database.fail_clip(database.start_clip("bad", 1, "bad.mp4", (3,)), "bad.mp4: broken")
        database.commit()
        add_fake(database, "it's 2", fake_vectors(4, seed=22))  # it has changed
        database.remove_clips([database.clips["it's 4"]])
        database.finish()
    ours, theirs = (SearchIndex(database.path) for database in both)
    assert ours.num_clips == theirs.num_clips == 5
    assert {key: clip.error for key, clip in both[0].clips.items()} == {
        key: clip.error for key, clip in both[1].clips.items()
    }
    for branch in BRANCHES:
        assert ours.num_windows(branch) == theirs.num_windows(branch) > 0
        for top in (1, 3, 50):
            queries = fake_vectors(3, seed=99)
            found, expected = (each.search(torch.from_numpy(queries), branch, top) for each in (ours, theirs))
            assert [hit.window for hit in found] == [hit.window for hit in expected]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
        assert ours.window(branch, found[0].number) == found[0].window
        assert ours.window(branch, 10**6) is None
        np.testing.assert_array_equal(
            ours.clip_embeddings(branch, "it's 3"), theirs.clip_embeddings(branch, "it's 3")
        )
    assert verify_index(ours.path) == []


def test_what_a_kill_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = LanceDatabase.create(tmp_path, INFO)
    database.add_root(tmp_path)
    add_fake(database, "first", fake_vectors(2))
    database.commit()
    add_fake(database, "second", fake_vectors(3, seed=1))

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(database._clips, "add", killed)  # the windows are written
    with pytest.raises(KeyboardInterrupt):
        database.commit()
    database = LanceDatabase(tmp_path)
    assert list(database.clips) == ["first"] and len(database.open("video")) == 5
    assert "windows without a clip" in verify_index(tmp_path)[0]
    add_fake(database, "second", fake_vectors(3, seed=1))
    database.finish()
    assert list(database.clips) == ["first", "second"] and len(database.open("video")) == 5
    assert verify_index(tmp_path) == []


def test_two_that_write_at_once_are_told(tmp_path: Path) -> None:
    database = LanceDatabase.create(tmp_path, INFO)
    database.add_root(tmp_path)
    other = LanceDatabase(tmp_path)
    add_fake(database, "first", fake_vectors(2))
    add_fake(other, "second", fake_vectors(3))
    database.finish()
    with pytest.raises(RetrievalError, match="another process has written"):
        other.commit()
    assert list(LanceDatabase(tmp_path).clips) == ["first"] and verify_index(tmp_path) == []
    other = LanceDatabase(tmp_path)
    for each, key in ((other, "second"), (database, "third"), (other, "fourth")):  # in turns
        add_fake(each, key, fake_vectors(3))
        each.finish()
    clips = LanceDatabase(tmp_path).clips
    assert list(clips) == ["first", "second", "third", "fourth"]
    assert [clip.id for clip in clips.values()] == [1, 2, 3, 4]


def test_one_process_searches_while_another_adds(tmp_path: Path) -> None:
    database = LanceDatabase.create(tmp_path, INFO)
    database.add_root(tmp_path)
    add_fake(database, "0", fake_vectors(4))
    database.finish()
    index = SearchIndex(tmp_path)
    words = [sys.executable, str(Path(__file__).with_name("index_fakes.py")), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as adding:
        assert adding.stdout is not None
        for line in adding.stdout:
            [hit] = index.search(torch.from_numpy(fake_vectors(4, seed=int(line))), "video", 1)
            assert (hit.window.key, hit.score) == (line.strip(), pytest.approx(1, abs=1e-5))
    assert adding.returncode == 0
    assert len(index.search(torch.from_numpy(fake_vectors(1)), "video", 100)) == 6


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_large_indexes_are_searched_by_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: IndexKind
) -> None:
    monkeypatch.setattr(lance, "INDEX_MINIMUM", 500)
    database = LanceDatabase.create(tmp_path, IndexInfo("tiny", "0" * 64, DIM, kind))
    database.add_root(tmp_path)
    add_fake(database, "all", fake_vectors(600))
    recalls = database.finish()
    assert list(recalls) == ["video"] and recalls["video"] > 0.9
    add_fake(database, "more", fake_vectors(3, seed=5))
    assert database.finish() == {}, "what is new is brought into the index"
    [hit] = SearchIndex(tmp_path).search(torch.from_numpy(fake_vectors(3, seed=5)[2:]), "video", 1)
    assert (hit.window.key, hit.window.start) == ("more", 2.0)


def test_the_commands_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = ["--weights", str(write_tiny_model(tmp_path / "tiny.safetensors")), "--device", "cpu"]
    clips = [write_tiny_clip(tmp_path / "media" / f"{n}.mp4", 1.0, seed=n) for n in range(3)]
    index = str(tmp_path / "index")
    assert cli.main(["index", "build", str(clips[0]), "-o", index, "--backend", "lancedb", *weights]) == 0
    assert cli.main(["index", "build", str(clips[0]), "-o", index, *weights]) == 2
    assert "already holds an index of backend lancedb" in capsys.readouterr().err
    assert cli.main(["index", "add", index, str(tmp_path / "media"), *weights]) == 0
    assert "2 added, 1 there already: 3 clips" in capsys.readouterr().out
    assert cli.main(["search", index, "--video", str(clips[2]), "--in", "video", "--json", *weights]) == 0
    assert "2.mp4" in capsys.readouterr().out.split('"rank": 2')[0]
    assert cli.main(["index", "remove", index, str(clips[2])]) == 0
    assert cli.main(["index", "verify", index]) == 0
    assert "sound, 2 clips, 2 video, 2 audio windows" in capsys.readouterr().out


@pytest.fixture(params=["file-object-store", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of object storage: a folder taken for one, or a server that speaks as S3 does."""
    if request.param == "file-object-store":
        monkeypatch.setattr(lance, "SCHEMES", ("file-object-store://",))
        yield f"file-object-store://{tmp_path}/bucket"
        return
    server = pytest.importorskip("moto.server", reason="needs moto[server]").ThreadedMotoServer(port=0)
    boto3 = pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ALLOW_HTTP"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        monkeypatch.setenv("AWS_ENDPOINT", address)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="bucket")
        yield "s3://bucket"
    finally:
        server.stop()


def test_tables_in_object_storage(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = ["--weights", str(write_tiny_model(tmp_path / "tiny.safetensors")), "--device", "cpu"]
    clips = [write_tiny_clip(tmp_path / "media" / f"{n}.mp4", 1.0, seed=n) for n in range(3)]
    first, second = (str(tmp_path / name) for name in ("first", "second"))
    tables = ["--backend", "lancedb", "--tables", f"{bucket}/index"]
    assert cli.main(["index", "build", str(clips[0]), "-o", first, *tables, *weights]) == 0
    assert {file.name for file in Path(first).iterdir()} == {".lock", "tables.txt"}
    assert cli.main(["index", "build", str(tmp_path / "media"), "-o", second, *tables, *weights]) == 0
    assert "2 added, 1 there already: 3 clips" in capsys.readouterr().out
    assert cli.main(["index", "remove", second, str(clips[1])]) == 0
    assert cli.main(["index", "verify", first]) == 0
    assert "sound, 2 clips" in capsys.readouterr().out
    assert cli.main(["search", first, "--video", str(clips[2]), "--in", "video", "--json", *weights]) == 0
    assert "2.mp4" in capsys.readouterr().out.split('"rank": 2')[0]
    other = ["--backend", "lancedb", "--tables", f"{bucket}/other"]
    assert cli.main(["index", "build", str(clips[0]), "-o", first, *other, *weights]) == 2
    assert f"already holds an index of tables {bucket}/index" in capsys.readouterr().err


def test_a_folder_is_not_object_storage(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match="tables: is no address"):
        create_database(tmp_path, INFO, "lancedb", tables="tables")
    with pytest.raises(RetrievalError, match="--backend lancedb"):
        create_database(tmp_path, INFO, "faiss", tables="s3://bucket/index")
    assert not list(tmp_path.iterdir())


def test_what_is_damaged_is_one_line(tmp_path: Path) -> None:
    LanceDatabase.create(tmp_path, INFO)
    for file in (tmp_path / "lance" / "video.lance" / "_versions").iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(RetrievalError, match="cannot be read") as caught:
        open_database(tmp_path)
    assert "\n" not in str(caught.value)
