from pathlib import Path

import numpy as np
import pytest
import torch
from feature_fakes import HOP, FakeCodec, FakeEncoder, contents, fake_clips, fake_makers, read_fake

from vab.errors import StoreError
from vab.features.extract import ExtractionOptions, ExtractionReport, Progress, extract
from vab.features.manifest import Clip
from vab.features.status import Counts, status
from vab.features.store import FeatureStore
from vab.media import write_clip

OPTIONS = ExtractionOptions(clip_seconds=2.0, shard_size=5, batch_size=3, timeout=30.0)


def run(folder: Path, *ids: str, codec: FakeCodec | None = None, **changes: object) -> ExtractionReport:
    options = ExtractionOptions(**{**vars(OPTIONS), **changes})
    return extract(fake_clips(*ids), folder, fake_makers(codec=codec), options, reader=read_fake)


def test_each_clip_gets_its_own_features_padded_as_the_paper_says(tmp_path: Path) -> None:
    ids = ["full-1", "short-2", "silent-3", "bad-4", "blind-5", "odd-6", "crash-7", "full-8"]
    report = run(tmp_path, *ids, num_workers=2)
    assert (report.num_done, report.num_failed) == (5, 3)
    store = FeatureStore(tmp_path)
    assert store.clips.ids == ["full-1", "short-2", "silent-3", "blind-5", "full-8"]
    assert (store.clips[0].split, store.clips[0].labels, store.clips[0].source) == (
        "train",
        ("f",),
        "full-1.mp4",
    )
    batch = store.read(list(range(5)))
    assert batch.streams["codes"].shape == (5, 2, 100) and batch.streams["clip"].shape == (5, 8, 3)
    assert batch.is_valid["codes"].sum(1).tolist() == [100, 50, 0, 100, 100]
    assert batch.is_valid["clip"].sum(1).tolist() == [8, 4, 8, 0, 8]
    assert batch.streams["codes"][:, 0, 0].tolist() == [1, 2, 0, 5, 8]
    assert batch.streams["codes"][1, 0].tolist() == [2] * 50 + [0] * 50, "sound is followed by silence"
    assert batch.streams["clip"][1].unique().tolist() == [2.0], "the last frame's feature repeats"
    assert batch.streams["clip"][:, 0, 0].tolist() == [1, 2, 3, 0, 8]
    failures = [
        line.split('"failure": ')[1] for line in (tmp_path / "failures.jsonl").read_text().splitlines()
    ]
    assert failures == [
        '"bad-4.mp4: cannot be read"}',
        '"RuntimeError: two lines"}',
        '"the decoder process died (SIGABRT)"}',
    ]
    assert status(tmp_path).total == Counts(5, 3, 0)


def test_clips_are_encoded_in_batches_and_progress_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vab.features.makers.CPU_WAVEFORMS", 100)  # as on a GPU
    codec, seen = FakeCodec(), []
    clips = fake_clips("full-1", "bad-2", "full-3", "full-4", "full-5", "full-6")
    extract(clips, tmp_path, fake_makers(codec=codec), OPTIONS, reader=read_fake, on_progress=seen.append)
    assert codec.batch_sizes == [2, 2, 1], "groups of three; the shard of five ends the second"
    assert seen == [Progress(6, 0, 0), Progress(6, 2, 1), Progress(6, 4, 1), Progress(6, 5, 1)]


def test_going_on_after_an_interruption_gives_the_same_bytes(tmp_path: Path) -> None:
    ids = [f"{'bad' if n % 6 == 4 else 'full'}-{n}" for n in range(14)]
    run(tmp_path / "unbroken", *ids)

    class Stopped(BaseException):
        pass

    def stop(progress: Progress) -> None:
        if progress.num_done >= 6:
            raise Stopped

    with pytest.raises(Stopped):
        extract(
            fake_clips(*ids),
            tmp_path / "broken",
            fake_makers(),
            OPTIONS,
            on_progress=stop,
            reader=read_fake,
        )
    codec = FakeCodec()
    # Other sizes do not matter any more: the plan is made.
    report = run(tmp_path / "broken", *ids, codec=codec, shard_size=100, batch_size=7)
    assert (report.num_done, report.num_failed) == (5, 1)
    assert contents(tmp_path / "broken") == contents(tmp_path / "unbroken")


def test_the_number_of_workers_does_not_show(tmp_path: Path) -> None:
    ids = [f"{'bad' if n % 6 == 4 else 'full'}-{n}" for n in range(14)]
    for num_workers in (1, 3):
        run(tmp_path / str(num_workers), *ids, num_workers=num_workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_failures_stay_known_until_a_retry(tmp_path: Path) -> None:
    run(tmp_path, "bad-1", "full-2")
    assert run(tmp_path, "bad-1", "full-2").num_failed == 0
    assert run(tmp_path, "bad-1", "full-2", retry_failures=True).num_failed == 1


def test_features_that_16_bits_cannot_hold_are_a_failure(tmp_path: Path) -> None:
    class Loud(FakeEncoder):
        def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
            features = super().encode_frames(frames)
            return torch.where(features > 4, 1e6, features)

    extract(fake_clips("full-3", "full-5"), tmp_path, fake_makers(encoder=Loud()), OPTIONS, reader=read_fake)
    assert FeatureStore(tmp_path).clips.ids == ["full-3"]
    assert "16-bit floats cannot hold" in (tmp_path / "failures.jsonl").read_text()


def test_stores_of_other_networks_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "full-1")
    other = FakeCodec()
    other.fingerprint = "d" * 16
    with pytest.raises(StoreError, match=r"codes fingerprint c{16}, not d{16}"):
        run(tmp_path, "full-1", codec=other)
    other.codebook_size = 1 << 17
    with pytest.raises(ValueError, match="16-bit codes"):
        run(tmp_path / "new", "full-1", codec=other)
    with pytest.raises(ValueError, match="batch_size must be positive"):
        run(tmp_path, batch_size=0)


def make_video(path: Path, seconds: float, *, has_sound: bool = True, level: float = 0.5) -> None:
    """Red for the first half, blue for the second; a tone in the first half alone."""
    num_frames = round(seconds * 8)
    frames = np.zeros((num_frames, 32, 48, 3), np.uint8)
    frames[: num_frames // 2, :, :, 0] = frames[num_frames // 2 :, :, :, 2] = 250
    waveform = level * np.sin(np.arange(round(seconds * 16_000)) / 8, dtype=np.float32)[None]
    waveform[:, waveform.shape[1] // 2 :] = 0
    write_clip(path, frames, 8, waveform if has_sound else None, 16_000)


class LoudnessCodec(FakeCodec):
    """Loudness rather than the mean, which is nothing for a tone."""

    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        hops = waveform.unflatten(2, (-1, HOP)).abs().mean(dim=3)
        return (hops * 100).round().long().expand(-1, 2, -1)


def test_real_files(tmp_path: Path) -> None:
    make_video(tmp_path / "pair.mp4", 4.0)
    make_video(tmp_path / "mute.mp4", 1.0, has_sound=False)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    clips = [
        Clip("pair", tmp_path / "pair.mp4"),
        Clip("middle", tmp_path / "pair.mp4", start=1.0, duration=2.0),
        Clip("mute", tmp_path / "mute.mp4"),
        Clip("broken", tmp_path / "broken.mp4"),
        Clip("late", tmp_path / "pair.mp4", start=9.0),
        Clip("cut", tmp_path / "pair.mp4", start=9.0, duration=4.0, may_be_cut=True),
        Clip("whole", tmp_path / "pair.mp4", start=2.0, duration=2.0, may_be_cut=True),
    ]
    options = ExtractionOptions(clip_seconds=3.0)
    extract(clips, tmp_path / "store", fake_makers(codec=LoudnessCodec()), options)
    store = FeatureStore(tmp_path / "store")
    assert store.clips.ids == ["pair", "middle", "mute", "cut", "whole"]
    batch = store.read(list(range(5)))
    assert batch.is_valid["codes"].sum(1).tolist() == [150, 100, 0, 150, 100]
    assert batch.is_valid["clip"].sum(1).tolist() == [12, 8, 4, 12, 8]
    is_loud, is_red = (
        batch.streams["codes"][:, 0] > 10,
        batch.streams["clip"][:, :, 0] > batch.streams["clip"][:, :, 2],
    )
    for b, seconds in enumerate([2.0, 1.0, None, 2.0, 0.0]):
        if seconds is not None:
            assert is_loud[b].sum().item() == pytest.approx(seconds * 50, abs=3)
            assert is_red[b].sum().item() == seconds * 4
    lines = (tmp_path / "store" / "failures.jsonl").read_text()
    assert "broken.mp4: not a sound or video file" in lines
    assert "pair.mp4: ends at 4.00 s, before the clip's start at 9 s" in lines


@pytest.mark.parametrize(
    ("require", "kept"),
    [("both", "pair"), ("audio", "pair"), ("visual", "pair mute"), ("any", "pair mute")],
)
def test_require(tmp_path: Path, require: str, kept: str) -> None:
    make_video(tmp_path / "pair.mp4", 1.0)
    make_video(tmp_path / "mute.mp4", 1.0, has_sound=False)
    clips = [Clip(name, tmp_path / f"{name}.mp4") for name in ("pair", "mute")]
    options = ExtractionOptions(clip_seconds=1.0, require=require)  # type: ignore[arg-type]
    extract(clips, tmp_path / "store", fake_makers(codec=LoudnessCodec()), options)
    assert FeatureStore(tmp_path / "store").clips.ids == kept.split()
