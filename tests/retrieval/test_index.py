"""An index: right answers, windows with their times, and nothing lost or mixed up whatever happens to it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import write_tiny_clip, write_tiny_model

import vab
from vab.errors import RetrievalError
from vab.pipeline import Pipeline
from vab.retrieval import answers, building
from vab.retrieval import database as database_module
from vab.retrieval.base import BRANCHES, StoredWindow
from vab.retrieval.building import add_clips, open_or_create, remove_clips, verify_index
from vab.retrieval.database import FILE, Database, only_writer
from vab.retrieval.index import SearchIndex
from vab.retrieval.lists import match_ids, read_clip_ids
from vab.retrieval.options import Branch
from vab.retrieval.sources import EncodedClip, FileSource, find_sources
from vab.retrieval.vectors import build_vectors, nearest, open_vectors, recall_of, write_vectors


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return vab.load(write_tiny_model(tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "media" / "clips"
    for number in range(4):
        write_tiny_clip(folder / f"{number}.mp4", 1.0, seed=number)
    write_tiny_clip(folder / "long.mp4", 2.5, seed=9)
    write_tiny_clip(folder / "silent.mp4", 1.0, has_sound=False, seed=10)
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


def _build(out: Path, clips: Path, pipeline: Pipeline) -> Database:
    sources = find_sources([clips], pipeline)
    with only_writer(out, make=True):
        database = open_or_create(out, pipeline, kind="flat")
        add_clips(database, pipeline, sources)
        database.finish()
    return database


def _windows(database: Database, branch: Branch) -> list[StoredWindow]:
    answers = database.open(branch)
    return list(answers.windows(range(len(answers))).values())


def _content(path: Path) -> dict[str, bytes | list[str]]:
    """The bytes of the FAISS files and every row of the database."""
    content: dict[str, bytes | list[str]] = {file.name: file.read_bytes() for file in path.glob("*.faiss")}
    with sqlite3.connect(path / FILE) as connection:
        content["rows"] = list(connection.iterdump())
    return content


def test_a_clip_is_the_nearest_to_itself_in_each_branch(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    _build(tmp_path / "index", clips, pipeline)
    index = SearchIndex(tmp_path / "index")
    assert index.num_clips == 6
    for name in ("0.mp4", "3.mp4"):
        visual = index.search(pipeline.video_windows(clips / name), "video", 3)
        audio = index.search(pipeline.audio_windows(clips / name), "audio", 3)
        for hits in (visual, audio):
            assert hits[0].window.key == name
            assert hits[0].score == pytest.approx(1.0, abs=1e-4)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    everything = index.search(pipeline.embed_text("anything")[None], "audio", 100)
    assert sorted(hit.window.key for hit in everything) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "long.mp4"]


def test_a_long_clip_is_found_once_at_its_best_window(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    _build(tmp_path / "index", clips, pipeline)
    index = SearchIndex(tmp_path / "index")
    query = pipeline.video_windows(clips / "long.mp4", start=1.2, duration=1.0)
    hits = index.search(query, "video", 10)
    assert [hit.window.key for hit in hits].count("long.mp4") == 1
    [found] = [hit for hit in hits if hit.window.key == "long.mp4"]
    assert found.window.start == pytest.approx(1.2)
    assert found.score == pytest.approx(1.0, abs=1e-3)


def test_a_query_in_windows_finds_what_is_nearest_to_any_of_them(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    database = _build(tmp_path / "index", clips, pipeline)
    index = SearchIndex(tmp_path / "index")
    queries = F.normalize(
        torch.randn(3, database.info.dim, generator=torch.Generator().manual_seed(0)), dim=1
    )
    queries = torch.cat([queries, pipeline.video_windows(clips / "long.mp4")])
    best: dict[str, float] = {}
    for window, vector in zip(
        _windows(database, "video"), torch.tensor(database.vectors("video")), strict=True
    ):
        best[window.key] = max(best.get(window.key, -1.0), (queries @ vector).max().item())
    expected = sorted(best, key=lambda key: -best[key])
    for top in range(1, 8):
        hits = index.search(queries, "video", top)
        assert [hit.window.key for hit in hits] == expected[:top]
        assert [hit.score for hit in hits] == pytest.approx([best[key] for key in expected[:top]], abs=1e-5)
    stored, again = index.clip_embeddings("video", "long.mp4"), pipeline.video_windows(clips / "long.mp4")
    torch.testing.assert_close(stored[:-1], again[:-1])  # the last one ends where both sound and pictures do


def test_only_one_process_writes_an_index(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with only_writer(tmp_path / "index", make=True):
        for path, make, why in (
            ("index", False, "another build, add or remove is writing"),
            ("none", False, "not an index"),
            ("file", True, "cannot be written"),
        ):
            with pytest.raises(RetrievalError, match=why), only_writer(tmp_path / path, make=make):
                pass
    with only_writer(tmp_path / "index"):
        pass


@pytest.mark.parametrize("stop_after", [1, 3, 6, 9])
def test_a_build_that_stops_anywhere_resumes_to_the_same_index(
    tmp_path: Path, clips: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    monkeypatch.setattr(building, "WINDOWS_PER_STRETCH", 1)
    whole = _content(_build(tmp_path / "whole", clips, pipeline).path)
    encode, count = FileSource.encode, 0

    def stop(self: FileSource, *arguments: Any) -> EncodedClip:
        nonlocal count
        count += 1
        if count == stop_after:
            raise KeyboardInterrupt
        return encode(self, *arguments)

    monkeypatch.setattr(FileSource, "encode", stop)
    with pytest.raises(KeyboardInterrupt):
        _build(tmp_path / "index", clips, pipeline)
    with pytest.raises(RetrievalError, match="was interrupted"):
        SearchIndex(tmp_path / "index")
    before, count = count, 0
    stop_after = -1
    assert _content(_build(tmp_path / "index", clips, pipeline).path) == whole
    # 9 stretches, of which one was begun twice, and the broken file, where it had been tried.
    assert before + count == 10 + (before > 5)


def build_slowly(out: Path, inputs: list[Path], weights: Path) -> None:
    building.WINDOWS_PER_STRETCH = 1
    database_module.COMMIT_SECONDS = 0.0
    pipeline = vab.load(weights)
    sources = find_sources(inputs, pipeline)
    with only_writer(out, make=True):
        database = open_or_create(out, pipeline, kind="flat")
        add_clips(database, pipeline, sources, on_clip=lambda: time.sleep(0.02))
        database.finish()


@pytest.mark.parametrize("command", ["build", "add"])
def test_a_process_killed_at_any_moment_leaves_an_index_that_resumes(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(building, "WINDOWS_PER_STRETCH", 1)
    weights = write_tiny_model(tmp_path / "weights" / "tiny.safetensors")
    pipeline = vab.load(weights)
    killed = tmp_path / "killed" / FILE
    if command == "add":
        for name in ("whole", "killed"):
            _build(tmp_path / name, clips / "0.mp4", pipeline)
    _build(tmp_path / "whole", clips, pipeline)
    # Not forked: a process forked from one whose OpenMP threads have run waits for them for ever.
    child = multiprocessing.get_context("spawn").Process(
        target=build_slowly, args=(killed.parent, [clips], weights)
    )
    child.start()
    while child.is_alive() and _num_stretches(killed) < 4:
        time.sleep(0.001)
    child.kill()
    child.join()
    _build(tmp_path / "killed", clips, pipeline)
    assert _content(killed.parent)["rows"] == _content(tmp_path / "whole")["rows"]
    assert _content(killed.parent) == _content(tmp_path / "whole")


def _num_stretches(file: Path) -> int:
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM stretches").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_a_long_clip_in_stretches_has_the_windows_of_one_pass(
    tmp_path: Path, clips: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _build(tmp_path / "whole", clips, pipeline)
    monkeypatch.setattr(building, "WINDOWS_PER_STRETCH", 1)
    parts = _build(tmp_path / "parts", clips, pipeline)
    for branch in BRANCHES:
        assert _windows(parts, branch) == _windows(whole, branch)
    np.testing.assert_allclose(parts.vectors("video"), whole.vectors("video"), atol=1e-5)
    # The codec hears nothing before a stretch.
    assert (parts.vectors("audio") * whole.vectors("audio")).sum(axis=1).min() > 0.9


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("any"), OSError(5, "no disk")])
def test_whatever_one_file_raises_is_that_file_s_failure(
    tmp_path: Path, clips: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    encode = FileSource.encode

    def fail(self: FileSource, *arguments: Any) -> EncodedClip:
        if self.path.name == "1.mp4":
            raise error
        return encode(self, *arguments)

    monkeypatch.setattr(FileSource, "encode", fail)
    sources = find_sources([clips], pipeline)
    with only_writer(tmp_path / "index", make=True):
        database = open_or_create(tmp_path / "index", pipeline, kind="flat")
        added = add_clips(database, pipeline, sources)
        assert (added.num_added, len(added.failures)) == (5, 2)
        assert f"{clips / '1.mp4'}: {type(error).__name__}" in added.failures[0]
        monkeypatch.undo()
        again = add_clips(
            database, pipeline, sources
        )  # what failed for another reason than the file is made up for
    assert (again.num_added, again.num_present, len(again.failures)) == (1, 5, 1)


def test_adding_again_does_nothing_and_a_changed_file_is_embedded_anew(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    database = _build(tmp_path / "index", clips, pipeline)
    before = _content(database.path)
    again = add_clips(database, pipeline, find_sources([clips], pipeline))
    assert (again.num_added, again.num_present, len(again.failures)) == (0, 6, 1)
    assert _content(database.path) == before

    write_tiny_clip(clips / "1.mp4", 1.0, seed=77)
    write_tiny_clip(clips / "new.mp4", 1.0, seed=78)
    database = Database(database.path)
    assert add_clips(database, pipeline, find_sources([clips], pipeline)).num_added == 2
    database.finish()
    index = SearchIndex(database.path)
    assert index.num_clips == 7
    for name in ("1.mp4", "new.mp4", "2.mp4"):
        hit = index.search(pipeline.video_windows(clips / name), "video", 1)[0]
        assert (hit.window.key, hit.score) == (name, pytest.approx(1.0, abs=1e-4))
    assert len(list(database.path.glob("*.faiss"))) == 2


def test_what_is_removed_is_not_found_until_it_is_added_again(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    database = _build(tmp_path / "index", clips, pipeline)
    query = pipeline.video_windows(clips / "2.mp4")
    assert remove_clips(database, [str(clips / "2.mp4")]) == 1
    with pytest.raises(RetrievalError, match="was interrupted"):
        SearchIndex(database.path)
    database.finish()
    assert "2.mp4" not in {hit.window.key for hit in SearchIndex(database.path).search(query, "video", 100)}
    add_clips(database, pipeline, find_sources([clips / "2.mp4"], pipeline))
    database.finish()
    assert SearchIndex(database.path).search(query, "video", 1)[0].window.key == "2.mp4"
    assert remove_clips(database, [str(clips)]) == 7
    database.finish()
    assert SearchIndex(database.path).search(query, "video", 5) == []
    with pytest.raises(RetrievalError, match=r"nothing.mp4: no clip"):
        remove_clips(database, ["nothing.mp4"])


def test_index_and_media_may_be_moved_together_or_the_index_alone(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    _build(tmp_path / "media" / "index", clips, pipeline)
    shutil.copytree(tmp_path / "media" / "index", tmp_path / "alone" / "deep" / "index")
    assert SearchIndex(tmp_path / "alone" / "deep" / "index").media_file(_window("0.mp4")) == clips / "0.mp4"
    (tmp_path / "media").rename(tmp_path / "elsewhere")
    moved = SearchIndex(tmp_path / "elsewhere" / "index")
    assert moved.media_file(_window("0.mp4")) == tmp_path / "elsewhere" / "clips" / "0.mp4"


def _window(path: str) -> StoredWindow:
    return StoredWindow(path, 1, path, 0.0, 1.0)


def test_one_index_holds_clips_of_several_media_roots(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    _build(tmp_path / "index", clips, pipeline)
    elsewhere = tmp_path / "elsewhere" / "more"
    write_tiny_clip(elsewhere / "0.mp4", 1.0, seed=60)
    database = _build(tmp_path / "index", elsewhere, pipeline)
    index = SearchIndex(tmp_path / "index")
    assert index.num_clips == 7
    for file, key in ((clips / "0.mp4", "0.mp4"), (elsewhere / "0.mp4", "2:0.mp4")):
        hit = index.search(pipeline.video_windows(file), "video", 1)[0]
        assert (hit.window.key, index.media_file(hit.window)) == (key, file)
    assert remove_clips(database, [str(elsewhere)]) == 1
    assert _build(tmp_path / "index", elsewhere, pipeline).roots == {1: clips, 2: elsewhere}


def test_no_file_outside_the_media_root_is_ever_named(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    index = SearchIndex(_build(tmp_path / "index", clips, pipeline).path)
    (tmp_path / "secret.mp4").touch()
    (clips / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    for path in ("../../secret.mp4", str(tmp_path / "secret.mp4"), "link.mp4"):
        with pytest.raises(RetrievalError, match="out of the media root"):
            index.media_file(_window(path))
    with pytest.raises(RetrievalError, match="is not there"):
        index.media_file(_window("gone.mp4"))


def test_another_model_is_refused(tmp_path: Path, clips: Path, pipeline: Pipeline) -> None:
    database = _build(tmp_path / "index", clips, pipeline)
    other = vab.load(write_tiny_model(tmp_path / "other.safetensors", window_seconds=0.8))
    with pytest.raises(RetrievalError, match="was built with"):
        add_clips(database, other, [])
    with pytest.raises(RetrievalError, match="was built with"):
        open_or_create(database.path, other, kind="flat")
    with pytest.raises(RetrievalError, match="already holds"):
        open_or_create(database.path, pipeline, kind="hnsw")
    with pytest.raises(RetrievalError, match="takes 32"):
        SearchIndex(database.path).search(torch.ones(1, 7), "video", 1)


@pytest.mark.parametrize(
    "damage",
    [
        "absent",
        "earlier",
        "version",
        "database",
        "faiss",
        "faiss of another",
        "faiss renamed",
        "faiss with nan",
    ],
)
def test_damage_is_refused_in_one_line(tmp_path: Path, clips: Path, pipeline: Pipeline, damage: str) -> None:
    path = _build(tmp_path / "index", clips, pipeline).path
    vectors = SearchIndex(path).database.vectors("video")
    if damage == "absent":
        (path / FILE).unlink()
    elif damage == "earlier":
        (path / FILE).rename(path / "index.json")
    elif damage == "version":
        _execute(path, "UPDATE about SET version = 99")
    elif damage == "database":
        (path / FILE).write_bytes(b"no database")
    elif damage == "faiss":
        (path / "video.faiss").write_bytes(b"no index")
    elif damage == "faiss of another":
        write_vectors(build_vectors(np.roll(vectors, 1, axis=0), "flat"), path / "video.faiss")
    elif damage == "faiss renamed":
        shutil.copy(path / "audio.faiss", path / "video.faiss")
    else:
        write_vectors(build_vectors(np.full_like(vectors, np.nan), "flat"), path / "video.faiss")
    with pytest.raises(RetrievalError) as caught:
        SearchIndex(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    if "faiss" in damage:
        assert verify_index(path) == [str(caught.value)]
        assert "`vab index add" in str(caught.value)
        Database(path).finish()  # what that does
        assert SearchIndex(path).num_clips == 6
        assert verify_index(path) == []


def test_opening_reads_a_sample_and_verifying_everything(
    tmp_path: Path, clips: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _build(tmp_path / "index", clips, pipeline).path
    monkeypatch.setattr(answers, "NUM_BLOCKS", 1)
    monkeypatch.setattr(answers, "BLOCK", 16)
    database = Database(path)
    database.set_digest("video.faiss", "")
    database.finish()
    content = bytearray((path / "video.faiss").read_bytes())
    content[-1] ^= 1
    (path / "video.faiss").write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(answers, "sha256_of", None)
        patch.setattr(Database, "windows_by_id", None)
        assert SearchIndex(path).num_windows("video") == len(database.vectors("video"))
    assert "video.faiss is not the file that was written" in verify_index(path)[0]


def test_embeddings_that_were_changed_are_found_out(tmp_path: Path, clips: Path, pipeline: Pipeline) -> None:
    path = _build(tmp_path / "index", clips, pipeline).path
    first, second = (row[0] for row in _execute(path, "SELECT video FROM vectors LIMIT 2"))
    _execute(path, "UPDATE vectors SET video = ? WHERE stretch = 1", second)
    [problem] = verify_index(path)
    assert "0.mp4 are not those that were written" in problem
    with pytest.raises(RetrievalError, match="not those that were written"):
        SearchIndex(path).clip_embeddings("video", "0.mp4")
    _execute(path, "UPDATE vectors SET video = ? WHERE stretch = 1", first)
    assert verify_index(path) == []
    _execute(path, "UPDATE clips SET resume = 3 WHERE key = '0.mp4'")
    assert any("half embedded" in problem for problem in verify_index(path))


def _execute(path: Path, query: str, *values: Any) -> list[Any]:
    with sqlite3.connect(path / FILE) as connection:
        return connection.execute(query, values).fetchall()


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_kinds_of_index_find_what_exact_search_finds(tmp_path: Path, kind: str) -> None:
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((40, 16)).astype(np.float32)
    vectors = centres[generator.integers(0, 40, 2500)] + 0.3 * generator.standard_normal((2500, 16))
    vectors = F.normalize(torch.from_numpy(vectors.astype(np.float32)), dim=1).numpy()
    index = build_vectors(vectors, kind)  # type: ignore[arg-type]
    write_vectors(index, tmp_path / "x.faiss")
    opened = open_vectors(tmp_path / "x.faiss")
    assert recall_of(opened, vectors, vectors[:100]) > (0.999 if kind == "flat" else 0.9)
    scores, rows = nearest(opened, vectors[:5], 3)
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(scores[:, 0], 1, atol=1e-2)
    if kind == "flat":
        assert np.array_equal(rows, (-vectors[:5] @ vectors.T).argsort(axis=1)[:, :3])


def test_too_few_vectors_for_codes_are_refused() -> None:
    with pytest.raises(RetrievalError, match="use --kind flat"):
        build_vectors(np.zeros((10, 16), np.float32), "ivfpq")


def test_lists_of_others_are_read(tmp_path: Path) -> None:
    cav_mae = tmp_path / "cav.json"
    cav_mae.write_text(
        json.dumps({"data": [{"video_id": "--4gqARaEJE", "labels": "/m/1"}, {"video_id": "b_30"}]})
    )
    assert read_clip_ids(cav_mae) == ["--4gqARaEJE", "b_30"]
    msr_vtt = tmp_path / "msrvtt.csv"
    msr_vtt.write_text(
        "key,vid_key,video_id,sentence\nret0,msr9770,video9770,a person\nret1,msr9771,video9771,x\n"
    )
    assert read_clip_ids(msr_vtt) == ["video9770", "video9771"]
    plain = tmp_path / "list.txt"
    plain.write_text("a\nb\n\na\n")
    assert read_clip_ids(plain) == ["a", "b"]
    assert match_ids(["a", "b", "c_x"], ["b_000030", "a", "c_x_y"]) == ([1, 0], ["c_x"])
