"""Curation: scores of a store's clips, a list by threshold that other commands read."""

from pathlib import Path

import pytest
import torch
from tiny import VISUAL_FPS, write_tiny_clip, write_tiny_model
from toy_imagebind import imagebind_state

import vab
from tasks import cli
from tasks.curation.run import histogram
from vab import media
from vab.codecs import load_codec
from vab.curation import COLUMNS
from vab.errors import StoreError
from vab.features.extract import ExtractionOptions, extract
from vab.features.joined import JoinedDataset
from vab.features.makers import CodecMaker, VisualMaker
from vab.features.manifest import Clip, load_manifest
from vab.features.store import FeatureStore
from vab.metrics.imagebind import ImageBind
from vab.visual import load_encoder

NUM_CLIPS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curation")
    clips = [
        Clip(
            f"clip{n}",
            write_tiny_clip(folder / f"clip{n}.mp4", 1.0, seed=n, has_sound=n < NUM_CLIPS),
            split="validation" if n == 0 else "train",
            labels=("a", "b, c"),
        )
        for n in range(NUM_CLIPS + 1)
    ]
    makers = {
        "codes": CodecMaker(load_codec("tiny-encodec")),
        "clip": VisualMaker(load_encoder("tiny-clip"), VISUAL_FPS),
    }
    extract(clips, folder / "store", makers, ExtractionOptions(clip_seconds=1.0))
    return folder / "store"


def curate(store: Path, out: Path, *more: str) -> tuple[int, list[list[str]]]:
    code = cli.main(["curate", str(store), "-o", str(out), "--device", "cpu", *more])
    comments, rows = out.read_text().split(f"{','.join(COLUMNS)}\n")
    assert comments.startswith("# ")
    return code, [row.rsplit(",", 1) for row in rows.splitlines()]


def test_clips_are_listed_by_the_agreement_of_what_the_store_holds(store: Path, tmp_path: Path) -> None:
    weights = write_tiny_model(tmp_path / "tiny.safetensors")
    out = tmp_path / "list.csv"
    code, rows = curate(store, out, "--weights", str(weights))
    assert code == 0 and len(rows) == NUM_CLIPS, "the clip without audio is not there"
    scores = [float(score) for _, score in rows]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
    pipeline = vab.load(weights, device="cpu")
    listed = load_manifest(out).clips
    for clip, score in zip(listed, scores, strict=True):
        visual = pipeline.encode_video(clip.path, duration=1.0).half().float()
        assert score == pytest.approx(pipeline.agreement(clip.path, visual), abs=2e-3)
        assert clip.labels == ("a", "b, c")
    assert {clip.id: clip.split for clip in listed}["clip1"] == "train"
    least = (scores[1] + scores[2]) / 2
    code, kept = curate(
        store, tmp_path / "kept.csv", "--weights", str(weights), "--min-similarity", str(least)
    )
    assert (code, kept) == (0, rows[:2])
    code, none = curate(store, tmp_path / "none.csv", "--weights", str(weights), "--min-similarity", "1")
    assert (code, none) == (2, [])


def test_clips_are_listed_by_imagebind_of_their_files(store: Path, tmp_path: Path) -> None:
    torch.save(imagebind_state(), tmp_path / "imagebind.pth")
    path = str(tmp_path / "imagebind.pth")
    code, rows = curate(store, tmp_path / "list.csv", "--by", "imagebind", "--weights", path)
    assert code == 0 and len(rows) == NUM_CLIPS
    model = ImageBind(path)
    [clip, *_] = load_manifest(tmp_path / "list.csv").clips
    expected = model.embed_audio(
        media.read_audio(clip.path, model.sample_rate, duration=1.0)
    ) @ model.embed_video(clip.path, start=0.0, duration=1.0)
    assert float(rows[0][1]) == pytest.approx(expected.item(), abs=1e-4)


def test_learning_may_be_limited_to_a_list(store: Path) -> None:
    def clips(**settings: object) -> list[str]:
        data = JoinedDataset.of_splits(
            [FeatureStore(store)],
            "train",
            "validation",
            is_training=True,
            streams={"codes": None},
            **settings,
        )
        return [data.parts[0].store.clips.ids[index] for index in data.parts[0].indices]

    everything = clips()
    assert clips(only={"clip1", "clip3", "elsewhere"}) == [
        name for name in everything if name in ("clip1", "clip3")
    ]
    with pytest.raises(StoreError, match="names none of the clips"):
        clips(only={"elsewhere"})


def test_the_histogram_counts_clips_by_tenths() -> None:
    table = histogram([-0.05, 0.0, 0.3, 0.31, 0.39])
    cells = [list(column.cells) for column in table.columns]
    assert cells[0][0] == "-0.1 to 0.0" and cells[0][-1] == "0.3 to 0.4"
    assert cells[1] == ["1", "1", "0", "0", "3"] and cells[2] == ["5", "4", "3", "3", "3"]
    assert histogram([]).row_count == 0
