"""Worker processes that decode clips ahead of the encoder, in order, in bounded memory.

One pipe a process, so a decoder that crashes or hangs is known together with the clip it was on: that clip
becomes a failure, a new process takes over, and the rest is untouched. Ours, since the executors of the standard
library give up all clips where one process dies, and no clip has a time limit of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from vab.errors import VABError, describe

# Workers fork from one clean process that has these at hand, rather than import them one by one.
_PRELOAD = ["vab.features.read"]

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """Why a task gave no result, in one line."""

    reason: str


class DecodePool(Generic[Task, Result]):
    """Run ``work`` on tasks in processes of their own and hand results out in the order of the tasks.

    Args:
        work: a picklable function; what it raises becomes a :class:`Failure`.
        num_workers: processes.
        lookahead: results that may wait for the consumer, which bounds memory.
        timeout: seconds after which a task is given up and its process killed.
        then: runs on each result in this process, in one thread a worker, before it is handed out; what it
            raises becomes a :class:`Failure` too.
    """

    def __init__(
        self,
        work: Callable[[Task], Any],
        *,
        num_workers: int,
        lookahead: int,
        timeout: float,
        then: Callable[[Any], Result],
    ) -> None:
        self._lookahead = max(lookahead, num_workers)
        self._timeout = timeout
        self._then = then
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="decode")
        # A worker's process starts when it is first needed: a short list starts few.
        self._workers = [_Worker(work) for _ in range(num_workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def __enter__(self) -> DecodePool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        # Ending the processes first unblocks the threads that wait for them.
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.stop()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.join()

    def map(self, tasks: Iterable[Task]) -> Iterator[Result | Failure]:
        """Results in the order of ``tasks``; at most ``lookahead`` of them are under way or waiting."""
        pending: deque[Future[Result | Failure]] = deque()
        for task in tasks:
            pending.append(self._threads.submit(self._run, task))
            if len(pending) > self._lookahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _run(self, task: Task) -> Result | Failure:
        worker = self._idle.get()
        try:
            answer = worker.ask(task, self._timeout)
        finally:
            self._idle.put(worker)
        if isinstance(answer, Failure):
            return answer
        try:
            return self._then(answer)
        except Exception as error:
            return Failure(describe(error))


class _Worker:
    """One process, restarted when it dies; used by one thread at a time."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None
        self._is_stopped = False

    def ask(self, task: Any, timeout: float) -> Any:
        """The result of ``work(task)``, or a :class:`Failure`.

        Raises:
            VABError: no process can be started.
        """
        # A process may also die of what others do (memory): only a clip that kills two is to blame.
        for _ in range(2):
            connection = self._started()
            try:
                connection.send(task)
                if not connection.poll(timeout):
                    self._end()
                    return Failure(f"decoding took more than {timeout:g} s")
                return connection.recv()
            except (EOFError, OSError):
                cause = self._end()
                if self._is_stopped:
                    break
        return Failure(f"the decoder process died ({cause})")

    def stop(self) -> None:
        """End the process for good; a thread inside ``ask`` gets a failure."""
        self._is_stopped = True
        if (process := self._process) is not None:
            process.kill()

    def join(self) -> None:
        """Wait until the stopped process is gone."""
        if self._process is not None:
            self._process.join()

    def _started(self) -> Connection:
        if self._connection is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(_PRELOAD)
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._work), daemon=True)
            process.start()
            theirs.close()
            self._connection, self._process = ours, process
            if self._is_stopped:
                process.kill()
            try:
                self._connection.recv()
            except (EOFError, OSError):
                cause = self._end()
                raise VABError(
                    f"decoder processes cannot start ({cause}): a script that extracts needs "
                    '`if __name__ == "__main__":`'
                ) from None
        return self._connection

    def _end(self) -> str:
        """Make sure that the process is gone; how it went."""
        assert self._process is not None and self._connection is not None, "called after _started"
        self._connection.close()
        self._process.join(timeout=1)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
            code = self._process.exitcode or 0
        self._process = self._connection = None
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """The life of a worker process: until its parent is gone, however it went."""
    # Ctrl-C reaches the whole group; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            task = connection.recv()
            try:
                answer = work(task)
            except Exception as error:
                answer = Failure(describe(error))
            connection.send(answer)
