"""Decode files of unknown origin in a child process, within limits of memory and time."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from vab.errors import MediaError, describe

Result = TypeVar("Result")


def decode_limited(
    decode: Callable[..., Result],
    path: str | Path,
    *arguments: Any,
    seconds: float = 60.0,
    megabytes: int = 2048,
) -> Result:
    """``decode(path, *arguments)`` in a process of its own, which is killed when it needs too much.

    The process is spawned: about two seconds for the imports, which count against ``seconds``.

    Args:
        decode: a function at the top level of a module. It and its result are pickled: let it give NumPy
            arrays, not tensors, whose memory would go with the process.
        path: the file, for the errors too.
        arguments: further ones of ``decode``.
        seconds: wall-clock limit.
        megabytes: the memory that decoding may take beyond the bare process. Only Linux enforces it;
            elsewhere the checks of this package and the time limit have to do.

    Raises:
        MediaError: ``decode`` raised anything, took too long or too much memory, or its process died.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(sender, decode, path, arguments, seconds, megabytes), daemon=True
    )
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise MediaError(f"{path}: decoding took more than {seconds:g} s; give a shorter file")
        result, problem = receiver.recv()
    except (EOFError, OSError):
        process.join()
        raise MediaError(
            f"{path}: its decoder crashed or ran out of memory (exit code {process.exitcode}); convert the file"
        ) from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if problem:
        raise MediaError(problem)
    return result


def _work(
    sender: Connection,
    decode: Callable[..., Any],
    path: str | Path,
    arguments: tuple[Any, ...],
    seconds: float,
    megabytes: int,
) -> None:
    _limit(seconds, megabytes)
    result, problem = None, ""
    try:
        result = decode(path, *arguments)
    except MediaError as error:
        problem = str(error)
    except MemoryError:
        problem = f"{path}: needs more than {megabytes} MB to decode; give a shorter or smaller file"
    except Exception as error:
        problem = f"{path}: cannot be decoded ({describe(error)}); convert the file"
    # Nobody may be listening any more.
    with contextlib.suppress(OSError):
        sender.send((result, problem))


def _limit(seconds: float, megabytes: int) -> None:
    """Limit this process, where the system can."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    # Should the parent die, nobody else would end an endless loop in a decoder.
    processor_seconds = math.ceil(seconds * (os.cpu_count() or 1))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_seconds, processor_seconds))
    statistics = Path("/proc/self/statm")
    if statistics.is_file():
        used = int(statistics.read_text().split()[5]) * resource.getpagesize()
        limit = used + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
