"""A stream that is added to a store later, with the guarantees of extraction."""

from pathlib import Path

import numpy as np
import pytest
import torch
from feature_fakes import FakeCodec, FakeEncoder, contents, fake_clips, fake_makers, read_fake

from vab.errors import StoreError
from vab.features.dataset import FeatureDataset
from vab.features.extract import ExtractionOptions, ExtractionReport, Progress, add_stream, extract
from vab.features.makers import CodecMaker, StreamMaker, VisualMaker, load_maker
from vab.features.status import Counts, status
from vab.features.store import FeatureStore

OPTIONS = ExtractionOptions(clip_seconds=4.0, shard_size=4, batch_size=2, timeout=30.0)
IDS = [f"{'short' if n == 3 else 'blind' if n == 5 else 'full'}-{n}" for n in range(9)]


def extracted(folder: Path, ids: list[str] = IDS) -> Path:
    extract(fake_clips(*ids), folder, fake_makers(visual_fps=8.0), OPTIONS, reader=read_fake)
    return folder


def add(folder: Path, name: str = "clip25", **settings: object) -> ExtractionReport:
    maker = VisualMaker(FakeEncoder(), 25.0)
    return add_stream(folder, name, maker, OPTIONS, **{"reader": read_fake, **settings})


def test_only_the_new_stream_is_made_and_reads_with_the_others(tmp_path: Path) -> None:
    store = extracted(tmp_path / "store")
    before = contents(store)
    report = add(store)
    assert (report.num_done, report.num_failed) == (9, 0)
    assert before.items() <= contents(store).items(), "nothing of the store itself has changed"
    opened = FeatureStore(store)
    opened.verify()
    assert list(opened.info.streams) == ["codes", "clip", "clip25"]
    batch = opened.read([8, 3, 5])
    assert batch.streams["clip25"].shape == (3, 100, 3)
    assert batch.streams["clip25"][:, 0, 0].tolist() == [8, 3, 0]
    assert batch.is_valid["clip25"].sum(1).tolist() == [100, 25, 0]
    assert torch.equal(batch.streams["clip25"][:, ::25], batch.streams["clip"][:, ::8])
    assert list(opened.read([0], ["clip25"]).streams) == ["clip25"]
    assert opened.clips[3].num_steps == {"codes": 50, "clip": 8, "clip25": 25}
    assert opened.select(streams=["clip25"]) == [0, 1, 2, 3, 4, 6, 7, 8]
    assert [added.total for added in status(store).added] == [Counts(9, 0, 0)]
    assert add(store).num_done == 0


def test_another_codec_may_be_added(tmp_path: Path) -> None:
    store = extracted(tmp_path / "store")
    other = FakeCodec()
    other.fingerprint = "d" * 16
    add_stream(store, "codes2", CodecMaker(other), OPTIONS, reader=read_fake)
    batch = FeatureStore(store).read([1, 2])
    assert torch.equal(batch.streams["codes2"], batch.streams["codes"])


def fail_at_two(request: object) -> object:
    if request.clip.id == "full-2":  # type: ignore[attr-defined]
        raise RuntimeError("went away")
    return read_fake(request)  # type: ignore[arg-type]


def test_a_clip_that_cannot_be_read_any_more_is_reported_and_lacks_the_stream(tmp_path: Path) -> None:
    store = extracted(tmp_path / "store")
    report = add(store, reader=fail_at_two)
    assert (report.num_done, report.num_failed) == (8, 1)
    assert "went away" in (store / "streams" / "clip25" / "failures.jsonl").read_text()
    opened = FeatureStore(store)
    assert not opened.read([2]).has("clip25").any() and opened.read([2]).has("clip").all()
    assert 2 not in opened.select(streams=["clip25"]) and 2 in opened.select()


def test_interrupted_it_goes_on_to_the_same_bytes_and_takes_in_new_clips(tmp_path: Path) -> None:
    whole, broken = extracted(tmp_path / "whole"), extracted(tmp_path / "broken")
    add(whole)

    class Stopped(BaseException):
        pass

    def stop(progress: Progress) -> None:
        if progress.num_done >= 5:
            raise Stopped

    with pytest.raises(Stopped):
        add(broken, on_progress=stop)
    half = FeatureStore(broken)
    assert half.read(list(range(9))).has("clip25").tolist() == [True] * 4 + [False] * 5
    add(broken)
    assert contents(broken) == contents(whole)
    extracted(broken, [*IDS, "full-9"])
    assert not FeatureStore(broken).read([9]).has("clip25").any()
    assert add(broken).num_done == 1
    assert FeatureStore(broken).read([9]).has("clip25").all()


def test_what_cannot_be_added_is_refused(tmp_path: Path) -> None:
    store = extracted(tmp_path / "store")
    with pytest.raises(StoreError, match="was made with a stream 'clip'"):
        add(store, "clip")
    with pytest.raises(ValueError, match=r"letters, digits, _ and -, not '\.\./clip'"):
        add(store, "../clip")
    with pytest.raises(StoreError, match="not a feature store"):
        add(tmp_path / "nothing")
    add(store)
    with pytest.raises(StoreError, match=r"clip25 rate 25.0, not 5.0"):
        add_stream(store, "clip25", VisualMaker(FakeEncoder(), 5.0), OPTIONS, reader=read_fake)
    with pytest.raises(StoreError, match=r"--add pitch: no package makes such a stream .*vab.streams"):
        load_maker("pitch", "cpu")


def test_all_streams_of_a_clip_are_cropped_mixed_and_rolled_together(tmp_path: Path) -> None:
    class Clock:
        """The time of each step, of the clip's whole length."""

        def __init__(self, of: StreamMaker, rate: float) -> None:
            self.of, self.rate, self.reads = of, rate, of.reads

        def describe(self, name: str):  # type: ignore[no-untyped-def]
            return self.of.describe(name)

        def prepare(self, decoded: np.ndarray) -> torch.Tensor:
            return torch.zeros(1)

        def encode(self, clips, clip_seconds):  # type: ignore[no-untyped-def]
            steps = self.describe("x").num_steps(clip_seconds)
            shape = self.describe("x").batch_shape(len(clips), steps)
            times = torch.arange(steps) / self.rate * 100
            features = times if len(shape) == 3 and shape[-1] == steps else times[:, None]
            return features.expand(shape).clone(), torch.full((len(clips),), steps)

    store, options = tmp_path / "store", ExtractionOptions(clip_seconds=8.0)
    clips = fake_clips(*(f"full-{n}" for n in range(6)))
    makers = {
        "codes": Clock(CodecMaker(FakeCodec()), 50.0),
        "clip": Clock(VisualMaker(FakeEncoder(), 8.0), 8.0),
    }
    extract(clips, store, makers, options, reader=read_fake)
    clip25 = Clock(VisualMaker(FakeEncoder(), 25.0), 25.0)
    add_stream(store, "clip25", clip25, options, reader=read_fake)
    data = FeatureDataset(
        FeatureStore(store), crop_seconds=5.0, mixup_prob=0.7, roll_prob=0.7, is_training=True
    )
    assert data.grid.period == 1 and data.num_steps == {"codes": 250, "clip": 40, "clip25": 125}
    seen = set()
    for seed in range(20):
        batch = data.__getitems__([(n, 100 * seed + n) for n in range(6)])
        seconds = {
            "codes": batch.streams["codes"][:, 0, ::50],
            "clip": batch.streams["clip"][:, ::8, 0],
            "clip25": batch.streams["clip25"][:, ::25, 0],
        }
        for name in ("clip", "clip25"):
            assert torch.equal(seconds[name].long(), seconds["codes"]), name
        seen |= {tuple(row) for row in seconds["codes"].tolist()}
    assert len(seen) > 30
