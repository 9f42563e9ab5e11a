"""The store survives being stopped before and after every single thing it does to the disk."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from feature_fakes import contents, fake_clips, fake_info, make_store, ramp_arrays
from safetensors import SafetensorError

from vab.errors import StoreError
from vab.features.shards import ShardArrays
from vab.features.status import Counts, status
from vab.features.store import FeatureStore
from vab.features.writer import Group, StoreWriter

INFO = fake_info(clip_seconds=1.0)
CLIPS = fake_clips(*(f"bad-{n}" if n in (1, 4, 9) else f"clip-{n}" for n in range(11)))
NUMBERS = {clip.id: n for n, clip in enumerate(CLIPS)}


class KilledError(BaseException):
    """Stands in for kill -9: nothing after it runs, nothing catches it."""


def features(group: Group, *, bad: str = "bad") -> tuple[ShardArrays, dict[str, str]]:
    arrays = ramp_arrays(INFO, [1.0] * len(CLIPS))
    failures = {clip.id: "broken" for clip in group.clips if clip.id.startswith(bad)}
    chosen = [NUMBERS[clip.id] for clip in group.clips if clip.id not in failures]
    keep = torch.zeros(len(CLIPS), dtype=torch.bool)
    keep[chosen] = True
    return arrays.rows(keep), failures


def work(
    folder: Path,
    encoded: list[str] | None = None,
    *,
    num_clips: int = len(CLIPS),
    retry: bool = False,
    bad: str = "bad",
) -> None:
    with StoreWriter(folder, INFO) as writer:
        writer.plan(CLIPS[:num_clips], shard_size=5, group_size=2, retry_failures=retry)
        for group in writer.pending():
            if encoded is not None:
                encoded += [clip.id for clip in group.clips]
            writer.write(group, *features(group, bad=bad))


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int, *, before: bool) -> None:
    """Raise at one of the operations that change what is on the disk under its final name."""
    count = 0

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if before and count == moment:
                raise KilledError
            result = original(*args, **kwargs)
            if not before and count == moment:
                raise KilledError
            return result

        return operation

    for owner, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, wrapped(getattr(owner, name)))


def test_what_is_written_does_not_depend_on_when_it_was_killed(tmp_path: Path) -> None:
    work(tmp_path / "unbroken", num_clips=7)
    expected = contents(tmp_path / "unbroken")
    num_kills = 0
    for before in (True, False):
        for moment in range(1, 1000):
            folder = tmp_path / f"{moment}-{before}"
            with pytest.MonkeyPatch.context() as monkeypatch:
                kill_at(monkeypatch, moment, before=before)
                try:
                    work(folder, num_clips=7)
                except KilledError:
                    num_kills += 1
                else:
                    break
            work(folder, num_clips=7)
            assert contents(folder) == expected, (
                f"killed {'before' if before else 'after'} operation {moment}"
            )
            shutil.rmtree(folder)
    assert num_kills > 30


def test_nothing_is_encoded_twice_once_it_is_written(tmp_path: Path) -> None:
    for moment in range(6, 30, 3):
        folder, first, second = tmp_path / str(moment), [], []  # type: ignore[var-annotated]
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(monkeypatch, moment, before=True)
            with pytest.raises(KilledError):
                work(folder, first)
        done = {clip.id for clip in CLIPS} - {clip.id for group in _pending(folder) for clip in group.clips}
        work(folder, second)
        assert not done & set(second)
        assert done | set(second) == {clip.id for clip in CLIPS}
        assert len(set(first) & set(second)) <= 2, "at most the group in progress"


def _pending(folder: Path) -> list[Group]:
    with StoreWriter(folder, INFO) as writer:
        return list(writer.pending())


def test_leftovers_of_a_kill_disappear(tmp_path: Path) -> None:
    work(tmp_path)
    expected = contents(tmp_path)
    (tmp_path / "shards" / ".7-0badcafe.partial.safetensors").write_bytes(b"half")
    (tmp_path / "shards" / "00077.safetensors").write_bytes(b"no lines")
    (tmp_path / "parts" / "00000").mkdir(parents=True)
    (tmp_path / "failures.jsonl").write_bytes(b'{"half": ')
    work(tmp_path)
    assert contents(tmp_path) == expected


def test_a_damaged_part_is_done_again(tmp_path: Path) -> None:
    work(tmp_path / "unbroken")
    with StoreWriter(tmp_path / "store", INFO) as writer:
        writer.plan(CLIPS, shard_size=5, group_size=2)
        group = next(writer.pending())
        writer.write(group, *features(group))
    path = tmp_path / "store" / "parts" / "00000" / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    work(tmp_path / "store")
    assert contents(tmp_path / "store") == contents(tmp_path / "unbroken")


def test_a_finished_store_is_not_touched(tmp_path: Path) -> None:
    work(tmp_path)
    encoded: list[str] = []
    work(tmp_path, encoded)
    assert encoded == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "failures.jsonl",
        "shards",
        "store.json",
    ]


def test_more_clips_go_into_new_shards(tmp_path: Path) -> None:
    work(tmp_path)
    before = contents(tmp_path)
    with StoreWriter(tmp_path, INFO) as writer:
        writer.plan([*CLIPS, *fake_clips("more-1")], shard_size=5, group_size=2)
        for group in writer.pending():
            assert [clip.id for clip in group.clips] == ["more-1"]
            writer.write(group, ramp_arrays(INFO, [1.0]), {})
    after = contents(tmp_path)
    assert {name for name in after if before.get(name) != after[name]} == {
        "shards/00003.jsonl",
        "shards/00003.safetensors",
    }


def test_failures_are_listed_known_and_retried_when_asked(tmp_path: Path) -> None:
    work(tmp_path)
    lines = (tmp_path / "failures.jsonl").read_text().splitlines()
    assert [line[: line.index(",")] for line in lines] == [
        '{"id": "bad-1"',
        '{"id": "bad-4"',
        '{"id": "bad-9"',
    ]
    assert all('"failure": "broken"' in line for line in lines)
    assert status(tmp_path).total == Counts(8, 3, 0)

    encoded: list[str] = []
    work(tmp_path, encoded, retry=True, bad="bad-4")
    assert encoded == ["bad-1", "bad-4", "bad-9"]
    assert status(tmp_path).total == Counts(10, 1, 0)
    store = FeatureStore(tmp_path)
    assert store.clips.ids[-2:] == ["bad-1", "bad-9"]
    assert store.read([9]).streams["codes"][0, 1, 0] == NUMBERS["bad-9"]
    work(tmp_path)
    assert len((tmp_path / "failures.jsonl").read_text().splitlines()) == 1


def test_a_shard_of_failures_only(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, INFO) as writer:
        writer.plan(CLIPS[1:2], shard_size=5, group_size=2)
        for group in writer.pending():
            writer.write(group, *features(group))
    assert len(FeatureStore(tmp_path)) == 0
    assert FeatureStore(tmp_path).read([]).streams["codes"].shape == (0, 2, 50)
    assert status(tmp_path).by_split == {"train": Counts(0, 1, 0)}


def test_status_of_a_store_in_progress(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, INFO) as writer:
        writer.plan(CLIPS, shard_size=5, group_size=2)
        assert writer.count_pending() == 11
        groups = list(writer.pending())
        for group in groups[:4]:
            writer.write(group, *features(group))
        assert status(tmp_path).total == Counts(5, 2, 4)
        assert writer.count_pending() == 4
        assert len(FeatureStore(tmp_path)) == 3, "readers see whole shards"


def test_ids_of_other_files_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    work(tmp_path)
    moved = [type(CLIPS[0])(id="clip-0", path=Path("elsewhere.mp4"))]
    with StoreWriter(tmp_path, INFO) as writer:
        writer.plan(moved, shard_size=5, group_size=2)
        assert writer.count_pending() == 0
    assert (
        "1 clips have ids that the store has from other files (first: clip-0, from clip-0.mp4)" in caplog.text
    )


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path, INFO),
        pytest.raises(StoreError, match="another extraction is writing"),
        StoreWriter(tmp_path, INFO),
    ):
        pass
    with StoreWriter(tmp_path, INFO):
        pass


def test_other_features_and_other_folders_are_refused(tmp_path: Path) -> None:
    make_store(tmp_path / "store", INFO, [1.0])
    with pytest.raises(StoreError, match=r"clip rate 8.0, not 5.0: use another --store"):
        StoreWriter(tmp_path / "store", fake_info(visual_fps=5.0, clip_seconds=1.0))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StoreError, match=r"holds other files \(notes.txt\), but no store"):
        StoreWriter(tmp_path, INFO)
    with pytest.raises(StoreError, match=r"cannot be written"):
        StoreWriter(tmp_path / "notes.txt" / "store", INFO)


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work(tmp_path / "unbroken")
    store = tmp_path / "store"

    def full(*_: Any) -> None:
        raise SafetensorError("No space left on device")

    with StoreWriter(store, INFO) as writer:
        writer.plan(CLIPS, shard_size=5, group_size=2)
        group = next(writer.pending())
        with monkeypatch.context() as context:
            context.setattr("vab.features.shards.save_file", full)
            with pytest.raises(StoreError, match=r"cannot be written .*No space left") as caught:
                writer.write(group, *features(group))
            assert "\n" not in str(caught.value)
    work(store)
    assert contents(store) == contents(tmp_path / "unbroken")
