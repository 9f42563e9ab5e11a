"""A run's folder has one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vab.errors import WeightsError
from vab.files import remove_leftovers
from vab.training.replicas import RANK


@contextmanager
def run_folder(out: Path) -> Iterator[None]:
    """Make a folder and hold it until the end; what a killed run left half-written is removed.

    May be entered again by the process that holds it. The lock goes with its process, however that ends.

    Raises:
        WeightsError: another process holds the folder.
        OSError: it cannot be made or written.
    """
    if RANK:  # the first process holds it for all
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.resolve() / ".lock", timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        raise WeightsError(
            f"{out}: another process is training into this folder; wait for it, or choose another folder"
        ) from None
    try:
        if lock.lock_counter == 1:  # later, the other processes of this run are writing too
            remove_leftovers(out)
        yield
    finally:
        lock.release()
