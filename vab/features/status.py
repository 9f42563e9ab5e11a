"""How far an extraction has come, told from the files of a store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vab.errors import StoreError
from vab.features.info import StoreInfo
from vab.features.shards import read_clips, shard_lines, shard_name, shard_numbers
from vab.features.store import added_stores
from vab.features.writer import read_plan

Status = Literal["done", "failed", "missing"]


@dataclass(frozen=True)
class Counts:
    """Clips by what became of them."""

    num_done: int = 0
    num_failed: int = 0
    num_missing: int = 0
    """Planned, neither done nor failed yet."""


@dataclass(frozen=True)
class ExtractionStatus:
    """What a store holds and what it is still to hold."""

    info: StoreInfo
    total: Counts
    by_split: dict[str, Counts]
    added: tuple[ExtractionStatus, ...] = ()
    """Of the streams that were added to it."""


def status(store_dir: Path) -> ExtractionStatus:
    """Count the clips of a store; it may be in the middle of being written.

    Raises:
        StoreError: no store, or a damaged one.
    """
    info = StoreInfo.read(store_dir)
    # From what is planned to what is final, so that whatever is finished meanwhile is seen in one of them;
    # within a clip's history the last word counts, and a retried clip's is in the shard with the higher number.
    shards, plans, parts = (store_dir / name for name in ("shards", "plan", "parts"))
    found: dict[int, dict[str, tuple[str, Status]]] = {}
    for number in shard_numbers(plans):
        found[number] = {clip.id: (clip.split, "missing") for clip in _unless_gone(read_plan, plans, number)}
    for number in list(found):
        folder = parts / shard_name(number)
        for group in shard_numbers(folder):
            found[number] |= _outcomes(folder, group)
    for number in shard_numbers(shards):
        found[number] = _outcomes(shards, number)
    last: dict[str, tuple[str, Status]] = {}
    for number in sorted(found):
        last |= found[number]
    by_split = {
        split: _counts(what for of, what in last.values() if of == split)
        for split in sorted({split for split, _ in last.values()})
    }
    added = tuple(status(folder) for folder in added_stores(store_dir))
    return ExtractionStatus(info, _counts(what for _, what in last.values()), by_split, added)


def _counts(found: Iterable[Status]) -> Counts:
    count = Counter(found)
    return Counts(count["done"], count["failed"], count["missing"])


def _outcomes(folder: Path, number: int) -> dict[str, tuple[str, Status]]:
    return {
        clip["id"]: (clip["split"], "failed" if "failure" in clip else "done")
        for clip in _unless_gone(read_clips, folder, number)
    }


def _unless_gone(
    read: Callable[[Path], tuple[Any, Sequence[Any]]], folder: Path, number: int
) -> Sequence[Any]:
    """The clips of a file; none where the extraction has removed it meanwhile."""
    path = shard_lines(folder, number)
    try:
        return read(path)[1]
    except StoreError:
        if path.exists():
            raise
        return ()
