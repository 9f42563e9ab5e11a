import dataclasses
import json
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_fakes import fake_info, make_store, ramp_batch

from vab.errors import StoreError
from vab.features.store import FeatureStore

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
        assert batch.codes.dtype == torch.int64 and batch.visual.dtype == torch.float32
        for name in ("codes", "visual", "is_valid", "is_valid_visual"):
            assert torch.equal(getattr(batch, name), getattr(expected, name)[chosen])
        assert batch.ids == tuple(f"clip-{i}" for i in chosen)
        assert batch.labels == tuple((f"even{i % 2}", "all") for i in chosen)


def test_reading_gives_memory_of_its_own(folder: Path) -> None:
    store = FeatureStore(folder)
    store.read([0]).codes[:] = 7
    assert store.read([0]).codes[0, 0, 3] == 3


def test_metadata(folder: Path) -> None:
    store = FeatureStore(folder)
    clip = store.clips[3]
    assert (clip.id, clip.source, clip.split, clip.labels) == (
        "clip-3",
        "clip-3.mp4",
        "test",
        ("even1", "all"),
    )
    assert (clip.num_steps, clip.num_frames, clip.duration) == (395, 63, None)
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
    store.clips.num_steps[2] = 0
    store.clips.num_frames[4] = 0
    assert store.select(require="both") == [0, 1, 3, 5, 6]
    assert store.select(require="audio") == [0, 1, 3, 4, 5, 6]
    assert store.select(require="visual") == [0, 1, 2, 3, 5, 6]
    assert store.select(require="any") == list(range(7))


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
    queue.put(store.read([5]).codes.sum().item())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_it(folder: Path, method: str) -> None:
    store = FeatureStore(folder)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(store, queue))
    child.start()
    assert queue.get(timeout=60) == store.read([5]).codes.sum().item()
    child.join()


def test_a_pickled_store_is_its_path(folder: Path) -> None:
    store = FeatureStore(folder)
    data = pickle.dumps(store)
    assert len(data) < 500
    assert torch.equal(pickle.loads(data).read([4]).codes, store.read([4]).codes)


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
    with pytest.raises(StoreError, match=r"visual is F16 \[3, 80, 5\], this store has F16 \[3, 80, 3\]"):
        FeatureStore(folder)


def test_store_json_says_what_it_holds(folder: Path) -> None:
    document = json.loads((folder / "store.json").read_text())
    assert document["format_version"] == 1
    assert document["codec"]["frame_rate"] == 50
    document["format_version"] = 2
    (folder / "store.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="format version 2, this program reads 1"):
        FeatureStore(folder)


def test_names_may_differ_where_content_does_not(tmp_path: Path) -> None:
    renamed = dataclasses.replace(INFO, codec=dataclasses.replace(INFO.codec, name="path/to/codec"))
    INFO.check_same(renamed, tmp_path)
    changed = dataclasses.replace(
        INFO, visual_fps=5.0, codec=dataclasses.replace(INFO.codec, fingerprint="x")
    )
    with pytest.raises(StoreError, match=r"codec fingerprint c+, not x; visual_fps 8.0, not 5.0"):
        INFO.check_same(changed, tmp_path)


def test_batches_move_between_devices(folder: Path) -> None:
    batch = FeatureStore(folder).read([0, 1])
    moved = batch.to("meta")
    assert moved.codes.device.type == moved.is_valid_visual.device.type == "meta"
    assert moved.ids == batch.ids and len(moved) == 2 and moved.partner is None
    assert batch.has_audio.all() and batch.has_visual.all()
