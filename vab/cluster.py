"""The one module that knows Dask: work spread over the workers of a cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vab.errors import VABError

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECT_SECONDS = 20
AHEAD = 2
"""Tasks under way or waiting to be handed out, for each thread of the cluster: what bounds its memory."""


@dataclass(frozen=True)
class Cluster(Generic[Context]):
    """Processes, here or on other machines, that a Dask scheduler gives work to."""

    scheduler: str
    """Address of the scheduler."""
    load: Callable[[], Context]
    """Gives what the work needs, such as networks; picklable, called once in each process."""

    def map(self, work: Callable[[Context, Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """``work(load(), task)`` of each task, in the order of the tasks.

        A task whose worker dies is done by another one: what comes out does not depend on which workers live. Workers
        work in this process's folder, so that relative paths mean the same.

        Args:
            work: picklable.
            tasks: picklable each; asked for a little ahead of the results.

        Raises:
            VABError: Dask is not installed, no scheduler answers, or several workers died over one task.
        """
        try:
            from distributed import Client, KilledWorker
        except ImportError as error:
            raise VABError("--engine dask: needs Dask; pip install 'vab[dask]'") from error
        try:
            client = Client(self.scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise VABError(
                f"--scheduler {self.scheduler}: no Dask scheduler answers there; start one with `dask scheduler`"
            ) from error
        run, pending = (uuid.uuid4().hex, Path.cwd()), deque[Any]()
        with client:
            try:
                for task in tasks:
                    pending.append(client.submit(_on_worker, run, self.load, work, task, pure=False))
                    while len(pending) > AHEAD * max(1, sum(client.nthreads().values())):
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            except KilledWorker as error:
                raise VABError(
                    "--engine dask: several workers died over one task; give them more memory, re-run to resume"
                ) from error


_loaded: tuple[tuple[str, Path], Any] | None = None
_loading = threading.Lock()


def _on_worker(
    run: tuple[str, Path], load: Callable[[], Any], work: Callable[[Any, Any], Any], task: Any
) -> Any:
    """One task, with what was loaded for the first task of this run in this process."""
    global _loaded
    if multiprocessing.current_process().daemon:
        raise VABError(
            "--engine dask: workers must be allowed to start decoders; start them as "
            "`DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker ADDRESS`"
        )
    with _loading:
        if _loaded is None or _loaded[0] != run:
            try:
                os.chdir(run[1])
            except OSError as error:
                raise VABError(
                    f"{run[1]}: a worker has no such folder; run this in one that all share"
                ) from error
            _loaded = (run, load())
    return work(_loaded[1], task)
