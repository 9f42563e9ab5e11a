import dataclasses
import hashlib
import json
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_fakes import fake_info, make_store, ramp_batch
from safetensors.torch import save_file

from vab.errors import StoreError
from vab.features.info import StoreInfo
from vab.features.store import FeatureStore
from vab.models.files import Component, ModelCard

INFO = fake_info()
SECONDS = [10.0, 3.2, 10.0, 7.9, 5.0, 10.0, 1.0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store", INFO, SECONDS)


def test_any_order_of_clips_comes_back_exactly(folder: Path) -> None:
    store, expected = FeatureStore(folder), ramp_batch(INFO, SECONDS)
    assert len(store) == len(store.clips) == 7
    for indices in ([5, 0, 0, 3, 6], [2], range(7), np.array([6, 1]), torch.tensor([4, 4])):
        batch = store.read(indices if not isinstance(indices, range) else list(indices))
        chosen = list(map(int, indices))
        assert batch.streams["codes"].dtype == torch.int64 and batch.streams["clip"].dtype == torch.float32
        for name in ("codes", "clip"):
            assert torch.equal(batch.streams[name], expected.streams[name][chosen])
            assert torch.equal(batch.is_valid[name], expected.is_valid[name][chosen])
        assert batch.ids == tuple(f"clip-{i}" for i in chosen)
        assert batch.labels == tuple((f"even{i % 2}", "all") for i in chosen)


def test_reading_gives_memory_of_its_own(folder: Path) -> None:
    store = FeatureStore(folder)
    store.read([0]).streams["codes"][:] = 7
    assert store.read([0]).streams["codes"][0, 0, 3] == 3


def test_metadata(folder: Path) -> None:
    store = FeatureStore(folder)
    clip = store.clips[3]
    assert (clip.id, clip.source, clip.split, clip.labels) == (
        "clip-3",
        "clip-3.mp4",
        "test",
        ("even1", "all"),
    )
    assert clip.num_steps == {"codes": 395, "clip": 63} and clip.duration is None
    assert [clip.id for clip in store.clips] == [clip.id for clip in store.clips[0:7]]
    assert store.info == INFO
    assert store.splits == ("test", "train")


def test_select(folder: Path) -> None:
    store = FeatureStore(folder)
    assert store.select() == list(range(7))
    assert store.select(split="test") == [1, 3, 5]
    assert store.select(split=["test", "train"]) == list(range(7))
    assert store.select(split="validation") == []
    assert store.select(labels=["even0"]) == [0, 2, 4, 6]
    assert store.select(split="test", labels=["even0"]) == []
    store.clips.num_steps["codes"][2] = 0
    store.clips.num_steps["clip"][4] = 0
    assert store.select() == store.select(streams=["codes", "clip"]) == [0, 1, 3, 5, 6]
    assert store.select(streams=["codes"]) == [0, 1, 3, 4, 5, 6]
    assert store.select(streams=["clip"]) == [0, 1, 2, 3, 5, 6]
    assert store.select(streams=[]) == list(range(7))
    with pytest.raises(StoreError, match=r"has no stream 'beats', only codes, clip; .*--add beats"):
        store.select(streams=["beats"])


def test_index_outside(folder: Path) -> None:
    for index in (7, -1):
        with pytest.raises(IndexError, match="0 to 6"):
            FeatureStore(folder).read([index])


def test_no_file_stays_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    store = FeatureStore(folder)
    store.read([0, 6])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def read_in_child(store: FeatureStore, queue: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    queue.put(store.read([5]).streams["codes"].sum().item())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_it(folder: Path, method: str) -> None:
    store = FeatureStore(folder)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(store, queue))
    child.start()
    assert queue.get(timeout=60) == store.read([5]).streams["codes"].sum().item()
    child.join()


def test_a_pickled_store_is_its_path(folder: Path) -> None:
    store = FeatureStore(folder)
    data = pickle.dumps(store)
    assert len(data) < 500
    assert torch.equal(pickle.loads(data).read([4]).streams["codes"], store.read([4]).streams["codes"])


def test_verify_notices_a_changed_byte(folder: Path) -> None:
    store = FeatureStore(folder)
    store.verify()
    path = folder / "shards" / "00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"00001.safetensors: content differs"):
        FeatureStore(folder).verify()


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "short": data[:-100], "long": data + b"x", "noise": b"x" * 200}[how])


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (name, how)
        for name in ("shards/00001.safetensors", "shards/00001.jsonl", "store.json")
        for how in ("gone", "empty", "short", "long", "noise")
        # A shard without its lines is one that was never finished.
        if (name, how) != ("shards/00001.jsonl", "gone")
    ],
)
def test_damage_is_one_line_that_names_the_file(folder: Path, name: str, how: str) -> None:
    damage(folder / name, how)
    with pytest.raises(StoreError) as caught:
        FeatureStore(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert (Path(name).name in message) or (how == "gone" and "not a feature store" in message)


def test_a_foreign_shard_is_refused(folder: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", fake_info(embed_dim=5), SECONDS)
    (folder / "shards" / "00001.safetensors").write_bytes(
        (other / "shards" / "00001.safetensors").read_bytes()
    )
    with pytest.raises(StoreError, match=r"clip is F16 \[3, 80, 5\], this store has F16 \[3, 80, 3\]"):
        FeatureStore(folder)


def test_store_json_says_what_it_holds(folder: Path) -> None:
    document = json.loads((folder / "store.json").read_text())
    assert document["format_version"] == 2
    assert document["streams"]["codes"]["rate"] == 50
    document["format_version"] = 3
    (folder / "store.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="format version 3, this program reads 1 to 2"):
        FeatureStore(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rate", 0, "rate must be in"),
        ("rate", "fast", ""),
        ("kind", "smells", "kind"),
        ("shape", [0], "shape must be positive"),
        ("name", "../clip", "letters, digits"),
        ("dtype", "int4", "none of int16, float16, float32"),
        ("codec", {}, "sample_rate"),
    ],
)
def test_a_header_that_makes_no_sense_is_one_line(
    folder: Path, field: str, value: object, message: str
) -> None:
    document = json.loads((folder / "store.json").read_text())
    document["streams"]["clip"][field] = value
    (folder / "store.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match=f"store.json: damaged, .*{message}") as caught:
        FeatureStore(folder)
    assert "\n" not in str(caught.value)


@pytest.fixture
def old_folder(tmp_path: Path) -> Path:
    """A store as format version 1 wrote it, byte by byte: one shard of two clips, the second without sound."""
    folder = tmp_path / "old"
    (folder / "shards").mkdir(parents=True)
    header = {
        "format": "vab-features",
        "format_version": 1,
        "codec": {
            "name": "fake-codec",
            "fingerprint": "c" * 16,
            "sample_rate": 1600,
            "hop_length": 32,
            "num_codebooks": 2,
            "codebook_size": 1000,
            "frame_rate": 50.0,
        },
        "encoder": {"name": "fake-clip", "fingerprint": "e" * 16, "embed_dim": 3},
        "visual_fps": 8.0,
        "clip_seconds": 1.0,
    }
    (folder / "store.json").write_text(json.dumps(header))
    arrays = {
        "codes": torch.arange(200, dtype=torch.int16).reshape(2, 2, 50),
        "visual": torch.arange(48, dtype=torch.float16).reshape(2, 8, 3),
        "num_steps": torch.tensor([50, 0], dtype=torch.int32),
        "num_frames": torch.tensor([8, 4], dtype=torch.int32),
    }
    save_file(arrays, folder / "shards" / "00000.safetensors")
    digest = hashlib.sha256((folder / "shards" / "00000.safetensors").read_bytes()).hexdigest()
    lines = [{"num_clips": 2, "num_rows": 2, "sha256": digest}]
    lines += [
        {
            "row": row,
            "id": f"clip-{row}",
            "source": f"clip-{row}.mp4",
            "start": 0.0,
            "duration": None,
            "may_be_cut": False,
            "split": "train",
            "labels": [],
            "caption": "",
        }
        for row in range(2)
    ]
    (folder / "shards" / "00000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_stores_of_the_first_format_open_and_grow(old_folder: Path) -> None:
    store = FeatureStore(old_folder)
    store.verify()
    assert store.info == fake_info(clip_seconds=1.0)
    batch = store.read([1, 0])
    assert batch.streams["codes"][1].flatten().tolist() == list(range(100))
    assert batch.streams["clip"][0].flatten().tolist() == list(range(24, 48))
    assert batch.is_valid["codes"].sum(1).tolist() == [0, 50]
    assert batch.is_valid["clip"].sum(1).tolist() == [4, 8]
    make_store(old_folder, fake_info(clip_seconds=1.0), [1.0] * 3)
    grown = FeatureStore(old_folder)
    assert grown.clips.ids == ["clip-0", "clip-1", "clip-2"]
    assert torch.equal(grown.read([1, 0]).streams["clip"], batch.streams["clip"])
    assert grown.read([2]).streams["codes"][0, 1].unique().tolist() == [2]


def changed_codes(**changes: str) -> StoreInfo:
    codes = dataclasses.replace(INFO.streams["codes"], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(INFO, streams=INFO.streams | {"codes": codes})


def test_names_may_differ_where_content_does_not(tmp_path: Path) -> None:
    renamed = changed_codes(maker="path/to/codec")
    INFO.check_same(renamed, tmp_path)
    changed = dataclasses.replace(changed_codes(fingerprint="x"), clip_seconds=5.0)
    with pytest.raises(StoreError, match=r"clip_seconds 10.0, not 5.0; codes fingerprint c+, not x"):
        INFO.check_same(changed, tmp_path)
    fewer = dataclasses.replace(INFO, streams={"codes": INFO.streams["codes"]})
    with pytest.raises(StoreError, match=r"clip rate 8.0, not absent"):
        INFO.check_same(fewer, tmp_path)


def test_batches_move_between_devices(folder: Path) -> None:
    batch = FeatureStore(folder).read([0, 1])
    moved = batch.to("meta")
    assert moved.streams["codes"].device.type == moved.is_valid["clip"].device.type == "meta"
    assert moved.ids == batch.ids and len(moved) == 2 and moved.partner is None
    assert batch.has("codes").all() and batch.has("clip").all()


def test_weights_refuse_a_store_whose_streams_others_made(folder: Path) -> None:
    store = FeatureStore(folder)
    made = {name: Component(info.maker, info.fingerprint) for name, info in store.info.streams.items()}
    ModelCard("vab", {}, made, window_seconds=4.0, overlap_seconds=0.8).check_store(store)
    components = {**made, "codes": Component("other", "0" * 16)}
    card = ModelCard("vab", {}, components, window_seconds=4.0, overlap_seconds=0.8)
    card.check_store(store, ["clip"])
    with pytest.raises(StoreError, match="the weights go with other 0000"):
        card.check_store(store)
