"""Foley world: the same seed gives the same clip, what is seen is what sounds, and the files say so."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from tasks.demo.world import (
    CLASSES,
    FPS,
    FRAME_SIZE,
    SAMPLE_RATE,
    SPLITS,
    Scene,
    frame_captions,
    ground_truth,
    render,
    sample_scene,
    write_corpus,
)
from tasks.demo.world import corpus as corpus_module
from tasks.demo.world.corpus import split_counts
from tasks.demo.world.materials import MATERIALS
from tasks.demo.world.rendering import render_frames, render_waveform
from tasks.demo.world.synthesis import Note, bubble, rattle, thud
from tasks.demo.world.truth import NUM_STATE_QUANTITIES, visible_state
from vab.errors import ConfigError, MediaError, VABError
from vab.media.write import write_clip

IMPACTS = [name for name, foley in CLASSES.items() if foley.kind == "impact"]


def scene_of(name: str, duration: float, split: str = "train", alone: bool = True) -> Scene:
    """The first scene whose main source is of this class."""
    place = list(CLASSES).index(name)
    for turn in range(50):
        scene = sample_scene(7, split, place + turn * len(CLASSES), duration)
        if not alone or len(scene.sources) == 1:
            return scene
    raise AssertionError(name)


def digest(scene: Scene) -> str:
    frames, waveform = render(scene)
    total = hashlib.sha256(waveform.tobytes())
    for frame in frames:
        total.update(frame.tobytes())
    return total.hexdigest()


def test_at_least_sixteen_classes_of_three_kinds() -> None:
    assert len(CLASSES) == 18
    assert {foley.kind for foley in CLASSES.values()} == {"impact", "continuous", "texture"}


@pytest.mark.parametrize("name", ["bounce", "crowd"])
def test_the_same_seed_gives_the_same_clip(name: str) -> None:
    place = list(CLASSES).index(name)
    first, again = (sample_scene(3, "test", place, 1.0) for _ in range(2))
    assert digest(first) == digest(again)
    assert ground_truth(first) == ground_truth(again)
    assert digest(sample_scene(4, "test", place, 1.0)) != digest(first)


def test_splits_share_no_scene() -> None:
    scenes = {split: [sample_scene(0, split, index, 2.0) for index in range(60)] for split in SPLITS}
    for draw in ("clip_id", "background_seed"):
        drawn = [{getattr(scene, draw) for scene in scenes[split]} for split in SPLITS]
        assert not set.intersection(drawn[0], drawn[1] | drawn[2]) and not drawn[1] & drawn[2]
    noises = [{scene.sources[0].noise_seed for scene in scenes[split]} for split in SPLITS]
    assert len(set.union(*noises)) == 180


def test_some_clips_have_two_sources_and_a_few_one_off_screen() -> None:
    scenes = [sample_scene(0, "train", index, 1.0) for index in range(400)]
    hidden = sum(not all(source.on_screen for source in scene.sources) for scene in scenes)
    both = sum(len(scene.sources) == 2 for scene in scenes) - hidden
    assert 40 <= both <= 85 and 5 <= hidden <= 30


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_seen_and_heard(name: str) -> None:
    scene = scene_of(name, 2.0)
    frames, waveform = render(scene)
    pictures = np.stack(list(frames))
    assert pictures.shape == (50, FRAME_SIZE, FRAME_SIZE, 3) and pictures.dtype == np.uint8
    assert waveform.shape == (1, 2 * SAMPLE_RATE) and waveform.dtype == np.float32
    assert np.abs(waveform).max() < 0.96
    level = 20 * np.log10(np.sqrt(np.mean(waveform**2)))
    assert -45 < level < -12
    assert (pictures.astype(int).max(0) - pictures.min(0)).max() > 60


@pytest.mark.parametrize("name", IMPACTS)
def test_sound_starts_with_its_event(name: str) -> None:
    scene = scene_of(name, 6.0)
    waveform = render_waveform(scene)[0]
    # Above the ring of the last note: a high-passed envelope rises at once where a new one starts.
    sharp = sosfilt(butter(2, 150, "high", fs=SAMPLE_RATE, output="sos"), waveform)
    times = scene.sources[0].motion.event_times
    gaps = np.diff(times, prepend=-9.0)
    for time in times[gaps > 0.4]:
        place = round(time * SAMPLE_RATE)
        before = np.abs(sharp[max(0, place - 800) : place]).max(initial=1e-3)
        after = np.abs(sharp[place : place + 160])
        assert after.max() > 1.5 * before


def rms(sound: np.ndarray, first: float, last: float) -> float:
    piece = sound[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
    return float(np.sqrt(np.mean(piece**2)))


def test_a_thud_dies_within_its_time() -> None:
    sound = thud((80.0, 110.0), 0.2)
    assert 20 * np.log10(rms(sound, 0.1, 0.15) / rms(sound, 0.0, 0.05)) == pytest.approx(-30, abs=3)


def test_a_bubble_climbs() -> None:
    sound = bubble(700.0, rise=9.0, t60=0.16, delay=0.02)
    assert not sound[: round(0.02 * SAMPLE_RATE)].any()
    crossings = np.flatnonzero(np.diff(np.signbit(sound[round(0.02 * SAMPLE_RATE) :])))
    # Half a period lies between two: 700 Hz at first, 700 (1 + 9 t) later.
    for time in (0.02, 0.1):
        here = np.searchsorted(crossings, time * SAMPLE_RATE)
        hertz = SAMPLE_RATE / 2 / np.diff(crossings)[here - 2 : here + 2].mean()
        assert hertz == pytest.approx(700 * (1 + 9 * time), rel=0.1)


def test_a_rattle_waits_swells_and_dies() -> None:
    sound = rattle(scene_of("footstep", 2.0).sources[0], 900.0, 3600.0, attack=0.1, decay=0.05, delay=0.05)
    assert not sound[: round(0.05 * SAMPLE_RATE)].any()
    early, top, late = rms(sound, 0.05, 0.08), rms(sound, 0.13, 0.16), rms(sound, 0.3, 0.35)
    assert early < 0.5 * top and late < 0.1 * top
    assert top == pytest.approx(0.5, rel=0.3)


def test_a_damper_ends_a_note_and_leaves_its_beginning() -> None:
    notes = [Note(MATERIALS["piano"], 240.0, np.random.default_rng(0), held=held) for held in (None, 0.15)]
    rung, damped = (note.strike(1.0) for note in notes)
    assert np.allclose(rung[: round(0.15 * SAMPLE_RATE)], damped[: round(0.15 * SAMPLE_RATE)])
    assert rms(damped, 0.3, 0.35) < 0.01 * rms(rung, 0.3, 0.35)


@pytest.mark.parametrize("name", IMPACTS)
def test_the_picture_tells_an_event(name: str) -> None:
    scene = scene_of(name, 4.0)
    pictures = np.stack(list(render_frames(scene))).astype(float)
    changes = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3))
    times = scene.sources[0].motion.event_times
    near = np.zeros(len(changes), bool)
    for time in times:
        first = int(time * FPS)
        near[max(0, first - 3) : first + 8] = True
    assert changes[near].mean() > 1.3 * changes[~near].mean()


@pytest.mark.parametrize("name", [n for n, foley in CLASSES.items() if foley.kind != "impact"])
def test_state_follows_time_and_has_a_level(name: str) -> None:
    state = ground_truth(scene_of(name, 4.0))["sources"][0]["state"]
    assert {"rate", "level"} <= set(state)
    assert all(len(values) == 100 for values in state.values())
    assert max(state["level"]) - min(state["level"]) > 0.01 or name == "siren"


def test_loudness_follows_the_level_of_the_state() -> None:
    for name in ("fire", "rain", "wind", "engine", "sawing"):
        scene = scene_of(name, 8.0)
        waveform = render_waveform(scene)[0]
        level = np.array(ground_truth(scene)["sources"][0]["state"]["level"])
        heard = np.sqrt((waveform.reshape(len(level), -1) ** 2).mean(1))
        assert np.corrcoef(level, heard)[0, 1] > 0.5, name


def test_long_sound_is_made_in_pieces_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    # Notes are the same whatever piece they fall into; only noise differs.
    scene = scene_of("pluck", 4.0)
    whole = render_waveform(scene)
    monkeypatch.setattr("tasks.demo.world.rendering.PIECE_SAMPLES", SAMPLE_RATE)
    assert np.abs(render_waveform(scene) - whole).max() < 0.02


@pytest.mark.parametrize("name", CLASSES)
def test_frame_captions_tell_the_state(name: str) -> None:
    scene = scene_of(name, 6.0, alone=False)
    truth = json.loads(json.dumps(ground_truth(scene)))
    captions = set()
    for frame in range(0, scene.num_frames, 3):
        time = frame / FPS
        from_scene = frame_captions(scene, time, np.random.default_rng(frame))
        assert from_scene == frame_captions(truth, time, np.random.default_rng(frame))
        captions.add(from_scene)
    assert len(captions) > 8
    assert all(scene.sources[0].noun in caption for caption in captions)


def test_visible_state_is_the_moments_and_only_of_what_is_seen() -> None:
    truth = ground_truth(scene_of("hammer", 4.0))
    event = truth["events"][0]["time"]
    after, later = (np.array(visible_state(truth, event + delay)) for delay in (0.05, 0.3))
    assert len(after) == NUM_STATE_QUANTITIES
    assert np.isnan(after).tolist() == [False, True] + [False] * 6, "a hammer has no rate"
    assert after[4] > later[4] + 1, "how near the last event is"
    rain = np.array(visible_state(ground_truth(scene_of("rain", 4.0)), 1.0))
    assert np.isnan(rain).tolist() == [False, False] + [True] * 6, "rain has a level and a rate"
    truth["sources"][0]["on_screen"] = False
    assert np.isnan(visible_state(truth, event)).all()


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="split"):
        sample_scene(0, "dev", 0)
    with pytest.raises(ConfigError, match="too short"):
        sample_scene(0, "train", 0, 0.1)


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.stack(pictures), np.concatenate(sound, axis=1)


def test_corpus_is_written_resumed_and_regenerated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"train": 3, "test": 1}
    seen: list[tuple[int, int]] = []

    def tracked(rows: Iterator[Any], _: str, *, total: int) -> Iterator[Any]:
        for step, row in enumerate(rows, start=1):
            yield row
            seen.append((step, total))

    monkeypatch.setattr("tasks.demo.world.corpus.track", tracked)
    manifest = write_corpus(tmp_path / "a", counts, 5, 1.0, workers=2)
    assert seen == [(step, 4) for step in range(1, 5)]
    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["train"] * 3 + ["test"]
    for row in rows:
        video = manifest.parent / row["path"]
        truth = json.loads(video.with_suffix(".json").read_text())
        assert truth["id"] == row["id"] and row["labels"] == "|".join(truth["labels"])
        assert row["label"] in CLASSES and row["caption"] == truth["captions"][0]
        pictures, sound = decoded(video)
        assert len(pictures) == truth["num_frames"] == 25
        assert sound.shape[1] >= SAMPLE_RATE
        for source in truth["sources"]:
            assert {len(values) for values in source["state"].values()} == {25}
            assert source["on_screen"] in (True, False) and source["material"]
        for event in truth["events"]:
            assert event["time"] in truth["sources"][event["source"]]["event_times"]
            assert 0 < event["strength"] <= 1
    # Only what is missing is rendered again, and it comes out the same.
    lost = manifest.parent / rows[1]["path"]
    pictures, sound = decoded(lost)
    lost.with_suffix(".json").unlink()
    written: list[Path] = []

    def counting(path: Path, *rest: object) -> None:
        written.append(path)
        write_clip(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(corpus_module, "write_clip", counting)
    write_corpus(tmp_path / "a", counts, 5, 1.0, workers=0)
    assert written == [lost]
    again = decoded(lost)
    assert np.array_equal(again[0], pictures) and np.array_equal(again[1], sound)
    assert not list(tmp_path.rglob("*.partial"))


def test_one_bad_clip_never_stops_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(seed: int, split: str, index: int, duration: float) -> Scene:
        if index == 1:
            raise RuntimeError("no luck")
        return sample_scene(seed, split, index, duration)

    monkeypatch.setattr(corpus_module, "sample_scene", failing)
    manifest = write_corpus(tmp_path, {"train": 3}, 0, 0.5, workers=0)
    assert len(manifest.read_text().splitlines()) == 3
    assert "no luck" in (tmp_path / "failures.csv").read_text()
    with pytest.raises(VABError, match="no clip could be rendered"):
        monkeypatch.setattr(corpus_module, "render", None)
        write_corpus(tmp_path / "none", {"train": 1}, 0, 0.5, workers=0)


def test_split_counts() -> None:
    assert split_counts(1000) == {"train": 900, "validation": 50, "test": 50}
    assert split_counts(2) == {"train": 2, "validation": 0, "test": 0}
    with pytest.raises(ConfigError):
        write_corpus(Path("unused"), {"train": 0})


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_written_sound_keeps_its_time(tmp_path: Path, sample_rate: int, channels: int) -> None:
    moments = (0.05, 0.7, 1.5)
    waveform = np.zeros((channels, 2 * sample_rate), np.float32)
    for moment in moments:
        waveform[:, round(moment * sample_rate)] = 0.9
    pictures = np.zeros((50, 64, 64, 3), np.uint8)
    pictures[25:] = 255
    path = tmp_path / "click.mp4"
    write_clip(path, pictures, FPS, waveform, sample_rate)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].start_time == container.streams.video[0].start_time == 0
        shown = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    assert [time for time, _ in shown] == pytest.approx(np.arange(50) / FPS)
    assert [level > 128 for _, level in shown] == [False] * 25 + [True] * 25
    sound = decoded(path)[1][0]
    for moment in moments:
        first = round((moment - 0.03) * sample_rate)
        found = (first + np.abs(sound[first : first + round(0.06 * sample_rate)]).argmax()) / sample_rate
        assert abs(found - moment) < 0.002


def test_write_clip_refuses_what_does_not_fit(tmp_path: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(MediaError, match="at least one frame"):
        write_clip(tmp_path / "a.mp4", [], FPS, None, SAMPLE_RATE)
    with pytest.raises(MediaError, match="even sides"):
        write_clip(tmp_path / "a.mp4", [picture[:63]], FPS, None, SAMPLE_RATE)
    with pytest.raises(MediaError, match="channels"):
        write_clip(tmp_path / "a.mp4", [picture], FPS, np.zeros(10, np.float32), SAMPLE_RATE)
    with pytest.raises(MediaError, match="finite"):
        write_clip(tmp_path / "a.mp4", [picture], FPS, np.full((1, 9), np.nan, np.float32), SAMPLE_RATE)
    assert list(tmp_path.iterdir()) == []
    write_clip(tmp_path / "silent.mp4", iter([picture] * 3), FPS, None, SAMPLE_RATE)
    with av.open(str(tmp_path / "silent.mp4")) as container:
        assert not container.streams.audio
