"""Write a feature store so that it survives being killed at any moment.

Folder, besides what readers see (``store.json``, ``shards/``)::

    plan/NNNNN.jsonl        clips that shard N will hold, fixed before the first is decoded; gone when it is written
    parts/NNNNN/GGGGG.*     finished groups of a shard in progress, in the form of small shards
    failures.jsonl          every clip that failed, with the reason (drawn from the shards, which know it too)
    .lock                   held by the process that writes

A clip belongs to one group of one shard, and a group is encoded together: what is written depends on the
plan alone, not on when the work was interrupted.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vab.errors import StoreError
from vab.features.files import read_lines, to_lines
from vab.features.info import StoreInfo
from vab.features.manifest import Clip
from vab.features.shards import (
    ShardArrays,
    map_arrays,
    read_clips,
    shard_lines,
    shard_name,
    shard_numbers,
    write_shard,
)
from vab.files import PARTIAL, remove_leftovers, write_atomically

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """Clips that are encoded and written together."""

    shard: int
    number: int
    """Within the shard."""
    clips: tuple[Clip, ...]


class StoreWriter:
    """The one process that may write a store.

    Args:
        path: the folder; made where it does not exist.
        info: what its clips have in common.

    Raises:
        StoreError: it holds other features, is damaged, or another process is writing it.
    """

    def __init__(self, path: Path, info: StoreInfo) -> None:
        self.path = path
        self.info = info
        self._shards, self._plans, self._parts = (path / name for name in ("shards", "plan", "parts"))
        self._planned: tuple[int, list[Group]] | None = None
        with self._writing():
            path.mkdir(parents=True, exist_ok=True)
            # The system releases it when this process ends, however it ends.
            self._lock = FileLock(path / ".lock", blocking=False)
            try:
                self._lock.acquire()
            except Timeout:
                raise StoreError(
                    f"{path}: another extraction is writing to it; wait or stop that one"
                ) from None
        try:
            with self._writing():
                self._open()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in (self._plans, self._parts):
            with suppress(OSError):  # where something is still to be done
                folder.rmdir()
        self._lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A full disk or a missing permission in one line."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{error.filename or self.path}: cannot be written ({error.strerror}); what is there is kept"
            ) from error

    def _open(self) -> None:
        if (self.path / "store.json").exists():
            StoreInfo.read(self.path).check_same(self.info, self.path)
        else:
            mine = {self.path / ".lock", *self.path.glob(PARTIAL)}
            if others := sorted(set(self.path.iterdir()) - mine):
                raise StoreError(
                    f"{self.path}: holds other files ({others[0].name}), but no store; use another folder"
                )
            self.info.write(self.path)
        for folder in (self._shards, self._plans, self._parts):
            folder.mkdir(exist_ok=True)
        self._clean_up()
        self.known: dict[str, str] = {}
        """Source of every clip that is written, failed or planned, by id."""
        self._failed: dict[str, dict[str, Any]] = {}
        for number in shard_numbers(self._shards):
            for row in read_clips(shard_lines(self._shards, number))[1]:
                self.known[row["id"]] = row["source"]
                self._failed.pop(row["id"], None)
                if "failure" in row:
                    self._failed[row["id"]] = {key: value for key, value in row.items() if key != "row"}
        for number in shard_numbers(self._plans):
            for clip in read_plan(shard_lines(self._plans, number))[1]:
                self.known[clip.id] = str(clip.path)
                self._failed.pop(clip.id, None)
        self._list_failures()

    def _list_failures(self) -> None:
        write_atomically(self.path / "failures.jsonl", to_lines(self._failed.values()))

    def _clean_up(self) -> None:
        """Remove what a killed run left half done and nothing refers to."""
        # Not below streams/: each of those is a store with a writer of its own.
        for leftover in self.path.glob(PARTIAL):
            leftover.unlink()
        for folder in (self._shards, self._plans, self._parts):
            remove_leftovers(folder)
        for features in self._shards.glob("*.safetensors"):
            if not features.with_suffix(".jsonl").exists():
                features.unlink()
        planned = set(shard_numbers(self._plans))
        for number in planned & set(shard_numbers(self._shards)):
            self._forget_plan(number)
            planned.discard(number)
        for parts in self._parts.iterdir():
            if parts.name not in {shard_name(number) for number in planned}:
                shutil.rmtree(parts)

    def plan(
        self, clips: Sequence[Clip], *, shard_size: int, group_size: int, retry_failures: bool = False
    ) -> None:
        """Assign clips that the store does not know to new shards, in order.

        Args:
            clips: what should be in the store; what is in it, planned or failed already stays so.
            shard_size: clips a shard.
            group_size: clips encoded together.
            retry_failures: give every failed clip another try, in a new shard.
        """
        moved = [clip for clip in clips if self.known.get(clip.id, str(clip.path)) != str(clip.path)]
        if moved:
            logger.warning(
                "%s: %d clips have ids that the store has from other files (first: %s, from %s); they are skipped",
                self.path,
                len(moved),
                moved[0].id,
                self.known[moved[0].id],
            )
        new = [clip for clip in clips if clip.id not in self.known]
        if retry_failures:
            new = [_to_clip(row) for row in self._failed.values()] + new
            self._failed.clear()
        number = max([-1, *shard_numbers(self._shards), *shard_numbers(self._plans)]) + 1
        for first in range(0, len(new), shard_size):
            chosen = new[first : first + shard_size]
            head = {"num_clips": len(chosen), "group_size": group_size}
            lines = to_lines([head, *map(_to_row, chosen)])
            with self._writing():
                write_atomically(shard_lines(self._plans, number), lines)
            self.known |= {clip.id: str(clip.path) for clip in chosen}
            number += 1
        if retry_failures:
            with self._writing():
                self._list_failures()

    def count_pending(self) -> int:
        """Clips that are planned and not written."""
        return sum(
            len(group.clips)
            for shard in shard_numbers(self._plans)
            for group in self._groups(shard)
            if not self._part(shard, group.number).exists()
        )

    def pending(self) -> Iterator[Group]:
        """Groups that are planned and not written, in order; shards that only lack their last step get it."""
        for shard in shard_numbers(self._plans):
            groups = self._groups(shard)
            missing = [group for group in groups if not self._has_part(group)]
            yield from missing
            if not missing:
                with self._writing():
                    self._finish(shard, len(groups))

    def write(self, group: Group, arrays: ShardArrays, failures: dict[str, str]) -> None:
        """Write one group, and its shard when no other group of it is missing.

        Args:
            group: what was planned.
            arrays: features of its clips, less those that failed.
            failures: the reason for each clip that failed, by id.
        """
        rows = [
            _to_row(clip) | ({"failure": failures[clip.id]} if clip.id in failures else {})
            for clip in group.clips
        ]
        path = self._part(group.shard, group.number)
        num_groups = len(self._groups(group.shard))
        with self._writing():
            path.parent.mkdir(exist_ok=True)
            write_shard(path, arrays, rows)
            if len(shard_numbers(path.parent)) == num_groups:
                self._finish(group.shard, num_groups)

    def _finish(self, shard: int, num_groups: int) -> None:
        """Join the groups of a shard into its final files."""
        rows: list[dict[str, Any]] = []
        pieces = []
        for number in range(num_groups):
            path = self._part(shard, number)
            head, clips = read_clips(path)
            rows += [{key: value for key, value in clip.items() if key != "row"} for clip in clips]
            pieces.append(map_arrays(path, head, self.info))
        write_shard(shard_lines(self._shards, shard), ShardArrays.concatenated(pieces, self.info), rows)
        with (self.path / "failures.jsonl").open("ab") as file:
            file.write(to_lines(row for row in rows if "failure" in row))
        self._forget_plan(shard)

    def _forget_plan(self, shard: int) -> None:
        # The plan goes last: without it, parts would be taken for leftovers of nothing.
        shutil.rmtree(self._parts / shard_name(shard), ignore_errors=True)
        shard_lines(self._plans, shard).unlink()

    def _groups(self, shard: int) -> list[Group]:
        # Asked for again after each group of a shard.
        if self._planned is None or self._planned[0] != shard:
            group_size, clips = read_plan(shard_lines(self._plans, shard))
            firsts = range(0, len(clips), group_size)
            groups = [Group(shard, i, clips[first : first + group_size]) for i, first in enumerate(firsts)]
            self._planned = (shard, groups)
        return self._planned[1]

    def _has_part(self, group: Group) -> bool:
        path = self._part(group.shard, group.number)
        if not path.exists():
            return False
        try:
            map_arrays(path, read_clips(path)[0], self.info)
        except StoreError as error:
            logger.warning("%s; this group is done again", error)
            path.unlink()
            return False
        return True

    def _part(self, shard: int, group: int) -> Path:
        return shard_lines(self._parts / shard_name(shard), group)


def read_plan(path: Path) -> tuple[int, tuple[Clip, ...]]:
    """Group size and clips of one planned shard.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        head, *rows = read_lines(path)
        return int(head["group_size"]), tuple(_to_clip(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: damaged ({error}); delete it and run `vab extract` again") from error


def stored_clips(store_dir: Path) -> list[Clip]:
    """The clips of a store's finished shards that have features, in order.

    Raises:
        StoreError: a shard is damaged.
    """
    shards = store_dir / "shards"
    return [
        _to_clip(row)
        for number in shard_numbers(shards)
        for row in read_clips(shard_lines(shards, number))[1]
        if row["row"] is not None
    ]


_AS_THEY_ARE = ("start", "duration", "may_be_cut", "split", "labels", "caption")
"""Fields of a clip that have their own names in a file of lines."""


def _to_row(clip: Clip) -> dict[str, Any]:
    return {"id": clip.id, "source": str(clip.path), **{name: getattr(clip, name) for name in _AS_THEY_ARE}}


def _to_clip(row: dict[str, Any]) -> Clip:
    rest = {name: row[name] for name in _AS_THEY_ARE} | {"labels": tuple(row["labels"])}
    return Clip(row["id"], Path(row["source"]), **rest)
