"""An index: right answers, windows with their times, and nothing lost or mixed up whatever happens to it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import write_tiny_clip, write_tiny_model

import vab
from vab.errors import RetrievalError
from vab.features.grid import TimeGrid
from vab.pipeline import Pipeline
from vab.retrieval import building
from vab.retrieval.building import add_clips, finish_index, remove_clips, start_index
from vab.retrieval.index import SearchIndex
from vab.retrieval.lists import match_ids, read_clip_ids
from vab.retrieval.log import EmbeddingLog, only_writer
from vab.retrieval.sources import find_sources
from vab.retrieval.vectors import build_vectors, nearest, open_vectors, recall_of, write_vectors
from vab.retrieval.windows import WindowCutter


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


def _build(out: Path, clips: Path, pipeline: Pipeline) -> EmbeddingLog:
    sources = find_sources([clips], pipeline)
    with only_writer(out, make=True):
        log = start_index(out, pipeline, sources, kind="flat")
        add_clips(log, pipeline, sources)
        finish_index(log)
    return log


def _content(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def test_a_clip_is_the_nearest_to_itself_in_each_branch(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    _build(tmp_path / "index", clips, pipeline)
    index = SearchIndex(tmp_path / "index")
    assert index.num_clips == 6
    for name in ("0.mp4", "3.mp4"):
        visual = index.search(pipeline.video_windows(clips / name), "visual", 3)
        audio = index.search(pipeline.audio_windows(clips / name), "audio", 3)
        for hits in (visual, audio):
            assert hits[0].key == name
            assert hits[0].score == pytest.approx(1.0, abs=1e-4)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    everything = index.search(pipeline.embed_text("anything")[None], "audio", 100)
    assert sorted(hit.key for hit in everything) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "long.mp4"]


def test_a_long_clip_is_found_once_at_its_best_window(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    _build(tmp_path / "index", clips, pipeline)
    index = SearchIndex(tmp_path / "index")
    query = pipeline.video_windows(clips / "long.mp4", start=1.2, duration=1.0)
    hits = index.search(query, "visual", 10)
    assert [hit.key for hit in hits].count("long.mp4") == 1
    [found] = [hit for hit in hits if hit.key == "long.mp4"]
    assert found.start == pytest.approx(1.2)
    assert found.score == pytest.approx(1.0, abs=1e-3)


def test_a_query_in_windows_finds_what_is_nearest_to_any_of_them(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    log = _build(tmp_path / "index", clips, pipeline)
    index, live = SearchIndex(tmp_path / "index"), log.live("visual")
    queries = F.normalize(torch.randn(3, log.info.dim, generator=torch.Generator().manual_seed(0)), dim=1)
    queries = torch.cat([queries, pipeline.video_windows(clips / "long.mp4")])
    best: dict[str, float] = {}
    for window, vector in zip(live.windows, torch.from_numpy(live.vectors), strict=True):
        best[window.clip.key] = max(best.get(window.clip.key, -1.0), (queries @ vector).max().item())
    expected = sorted(best, key=lambda key: -best[key])
    for top in range(1, 8):
        hits = index.search(queries, "visual", top)
        assert [hit.key for hit in hits] == expected[:top]
        assert [hit.score for hit in hits] == pytest.approx([best[key] for key in expected[:top]], abs=1e-5)
    stored, again = index.clip_embeddings("visual", "long.mp4"), pipeline.video_windows(clips / "long.mp4")
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


def test_a_build_that_stops_anywhere_goes_on_to_the_same_index(
    tmp_path: Path, clips: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "CLIPS_PER_SEGMENT", 2)
    whole = _content(_build(tmp_path / "whole", clips, pipeline).path)
    write, count = EmbeddingLog.append, 0

    def die_at_the_second(self: EmbeddingLog, records: list, visual: np.ndarray, audio: np.ndarray) -> None:
        nonlocal count
        count += 1
        if count == 2:  # as a kill would leave it: vectors there, the lines that make them count not
            (self.path / "segments" / "000001.visual.npy").write_bytes(b"half")
            (self.path / "segments" / ".7-0badcafe.partial.npy").write_bytes(b"half")
            raise KeyboardInterrupt
        write(self, records, visual, audio)

    monkeypatch.setattr(EmbeddingLog, "append", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        _build(tmp_path / "index", clips, pipeline)
    with pytest.raises(RetrievalError, match="was interrupted"):
        SearchIndex(tmp_path / "index")
    monkeypatch.setattr(EmbeddingLog, "append", write)
    assert _content(_build(tmp_path / "index", clips, pipeline).path) == whole


def build_in_segments_of_one(out: Path, inputs: list[Path], weights: Path) -> None:
    building.CLIPS_PER_SEGMENT = 1
    pipeline = vab.load(weights)
    sources = find_sources(inputs, pipeline)
    with only_writer(out, make=True):
        log = EmbeddingLog(out) if (out / "index.json").exists() else None
        log = log or start_index(out, pipeline, sources, kind="flat")
        add_clips(log, pipeline, sources)
        finish_index(log)


@pytest.mark.parametrize("verb", ["build", "add"])
def test_a_process_killed_at_any_moment_leaves_an_index_that_goes_on(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(building, "CLIPS_PER_SEGMENT", 1)  # put back at the end
    weights = write_tiny_model(tmp_path / "weights" / "tiny.safetensors")
    for name in ("whole", "killed"):
        if verb == "add":
            build_in_segments_of_one(tmp_path / name, [clips / "0.mp4"], weights)
    build_in_segments_of_one(tmp_path / "whole", [clips], weights)
    for target in (2, 5):
        # Not forked: a process forked from one whose OpenMP threads have run waits for them for ever.
        child = multiprocessing.get_context("spawn").Process(
            target=build_in_segments_of_one, args=(tmp_path / "killed", [clips], weights)
        )
        child.start()
        while child.is_alive() and len(list((tmp_path / "killed" / "segments").glob("*.jsonl"))) < target:
            time.sleep(0.001)
        child.kill()
        child.join()
    build_in_segments_of_one(tmp_path / "killed", [clips], weights)
    assert _content(tmp_path / "killed") == _content(tmp_path / "whole")


def test_adding_again_does_nothing_and_a_changed_file_is_embedded_anew(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    log = _build(tmp_path / "index", clips, pipeline)
    before = _content(log.path)
    again = add_clips(log, pipeline, find_sources([clips], pipeline))
    assert (again.num_added, again.num_present, again.failures) == (0, 7, [])
    assert _content(log.path) == before

    write_tiny_clip(clips / "1.mp4", 1.0, seed=77)
    write_tiny_clip(clips / "new.mp4", 1.0, seed=78)
    log = EmbeddingLog(log.path)
    assert add_clips(log, pipeline, find_sources([clips], pipeline)).num_added == 2
    finish_index(log)
    index = SearchIndex(log.path)
    assert index.num_clips == 7
    for name in ("1.mp4", "new.mp4", "2.mp4"):
        hit = index.search(pipeline.video_windows(clips / name), "visual", 1)[0]
        assert (hit.key, hit.score) == (name, pytest.approx(1.0, abs=1e-4))
    assert len(list(log.path.glob("*.faiss"))) == 2


def test_what_is_removed_is_not_found_until_it_is_added_again(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    log = _build(tmp_path / "index", clips, pipeline)
    query = pipeline.video_windows(clips / "2.mp4")
    assert remove_clips(log, [str(clips / "2.mp4")]) == 1
    with pytest.raises(RetrievalError, match="was interrupted"):
        SearchIndex(log.path)
    finish_index(log)
    assert "2.mp4" not in {hit.key for hit in SearchIndex(log.path).search(query, "visual", 100)}
    add_clips(log, pipeline, find_sources([clips / "2.mp4"], pipeline))
    finish_index(log)
    assert SearchIndex(log.path).search(query, "visual", 1)[0].key == "2.mp4"
    assert remove_clips(log, [str(clips)]) == 7
    finish_index(log)
    assert SearchIndex(log.path).search(query, "visual", 5) == []
    with pytest.raises(RetrievalError, match=r"nothing.mp4: no clip"):
        remove_clips(log, ["nothing.mp4"])


def test_index_and_media_may_be_moved_together_or_the_index_alone(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    _build(tmp_path / "media" / "index", clips, pipeline)
    shutil.copytree(tmp_path / "media" / "index", tmp_path / "alone" / "deep" / "index")
    assert SearchIndex(tmp_path / "alone" / "deep" / "index").media_file("0.mp4") == clips / "0.mp4"
    (tmp_path / "media").rename(tmp_path / "elsewhere")
    moved = SearchIndex(tmp_path / "elsewhere" / "index")
    assert moved.media_file("0.mp4") == tmp_path / "elsewhere" / "clips" / "0.mp4"


def test_no_file_outside_the_media_root_is_ever_named(
    tmp_path: Path, clips: Path, pipeline: Pipeline
) -> None:
    index = SearchIndex(_build(tmp_path / "index", clips, pipeline).path)
    (tmp_path / "secret.mp4").touch()
    (clips / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    for path in ("../../secret.mp4", str(tmp_path / "secret.mp4"), "link.mp4"):
        with pytest.raises(RetrievalError, match="out of the media root"):
            index.media_file(path)
    with pytest.raises(RetrievalError, match="is not there"):
        index.media_file("gone.mp4")


def test_another_model_is_refused(tmp_path: Path, clips: Path, pipeline: Pipeline) -> None:
    log = _build(tmp_path / "index", clips, pipeline)
    other = vab.load(write_tiny_model(tmp_path / "other.safetensors", window_seconds=0.8))
    with pytest.raises(RetrievalError, match="was built with"):
        add_clips(log, other, [])
    with pytest.raises(RetrievalError, match="was built with"):
        start_index(log.path, other, find_sources([clips], other), kind="flat")
    with pytest.raises(RetrievalError, match="takes 32"):
        SearchIndex(log.path).search(torch.ones(1, 7), "visual", 1)


@pytest.mark.parametrize(
    "damage", ["absent", "info", "foreign", "version", "lines", "vectors", "faiss", "faiss of another"]
)
def test_damage_is_one_line(tmp_path: Path, clips: Path, pipeline: Pipeline, damage: str) -> None:
    path = _build(tmp_path / "index", clips, pipeline).path
    if damage == "absent":
        (path / "index.json").unlink()
    elif damage == "info":
        (path / "index.json").write_text("{")
    elif damage == "foreign":
        (path / "index.json").write_text(json.dumps({"format": "other"}))
    elif damage == "version":
        document = json.loads((path / "index.json").read_text())
        (path / "index.json").write_text(json.dumps({**document, "format_version": 99}))
    elif damage == "lines":
        (path / "segments" / "000000.jsonl").write_text('{"counts": 3}\n')
    elif damage == "vectors":
        (path / "segments" / "000000.visual.npy").write_bytes(b"\x93NUMPY")
    elif damage == "faiss":
        next(path.glob("visual-*.faiss")).write_bytes(b"no index")
    else:
        write_vectors(build_vectors(np.zeros((3, 32), np.float32), "flat"), next(path.glob("visual-*.faiss")))
    with pytest.raises(RetrievalError) as caught:
        SearchIndex(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    if "faiss" in damage:
        assert "`vab index add" in str(caught.value)
        finish_index(EmbeddingLog(path))  # what that does
        assert SearchIndex(path).num_clips == 6


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_kinds_of_index_find_what_exact_search_finds(tmp_path: Path, kind: str) -> None:
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((40, 16)).astype(np.float32)
    vectors = centres[generator.integers(0, 40, 2500)] + 0.3 * generator.standard_normal((2500, 16))
    vectors = F.normalize(torch.from_numpy(vectors.astype(np.float32)), dim=1).numpy()
    index = build_vectors(vectors, kind)  # type: ignore[arg-type]
    write_vectors(index, tmp_path / "x.faiss")
    opened = open_vectors(tmp_path / "x.faiss", num_vectors=2500, dim=16)
    assert recall_of(opened, vectors, vectors[:100]) > (0.999 if kind == "flat" else 0.9)
    scores, rows = nearest(opened, vectors[:5], 3)
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(scores[:, 0], 1, atol=1e-2)
    if kind == "flat":
        assert np.array_equal(rows, (-vectors[:5] @ vectors.T).argsort(axis=1)[:, :3])


def test_too_few_vectors_for_codes_are_refused() -> None:
    with pytest.raises(RetrievalError, match="use --kind flat"):
        build_vectors(np.zeros((10, 16), np.float32), "ivfpq")


def test_windows_cover_a_clip_and_keep_codes_and_frames_together() -> None:
    cutter = WindowCutter(TimeGrid.of(16000, 320, 5.0), 2.0, 1.0)
    windows = cutter.cut(round(5.5 * 50), round(5.5 * 5))
    assert [window.start for window in windows] == pytest.approx([0, 1, 2, 3, 3.4])
    assert all((w.steps.start, w.frames.start) == (w.start * 50, w.start * 5) for w in windows)
    assert windows[-1].frames.stop == 27 or windows[-1].frames.stop == 28
    [short] = cutter.cut(30, 3)
    assert (short.steps, short.frames) == (slice(0, 30), slice(0, 3))
    [a_little_more] = cutter.cut(105, 10)
    assert a_little_more.steps == slice(0, 105)
    [sound_only] = cutter.cut(100, 0)
    assert (sound_only.seconds, sound_only.frames) == (2.0, slice(0, 0))


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
