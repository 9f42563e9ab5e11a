"""Files that appear under their names only when they are complete."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vab.errors import VABError

PARTIAL = ".*.partial*"
"""Pattern of the temporary names."""


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; on success it takes its place, on any failure it is removed.

    The folder is made where it is missing. The temporary name is short, since the file's own may be as long as names
    can be; it keeps the suffix, by which FFmpeg and NumPy choose a format; and it starts with a dot, so that a folder
    in use is never read half-written. What it holds is on the disk before it is renamed.

    Raises:
        OSError: the folder cannot be made, the disk is full, or writing is not allowed; it names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = f"{_start_of_partials(path)}{os.getpid()}-{os.urandom(4).hex()}.partial{path.suffix}"
    partial = path.absolute().with_name(name)
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.chmod(mode)  # safetensors would let nobody else read
        partial.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename = str(path)
        raise


def _sync_folder(folder: Path) -> None:
    """See to it that a renamed file is found under its new name after a power cut; Windows has no such call."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a small file whole or not at all, its folder made if need be.

    Raises:
        OSError: as :func:`complete_file`.
    """
    with complete_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Refuse, before any work, outputs that are inputs or that cannot be written.

    Two names of one file are one file: symbolic and hard links, other spellings of a path. What killed runs left
    half-written of an output is removed.

    Raises:
        VABError: names the first such output.
    """
    read = {(status.st_dev, status.st_ino): path for path in inputs if (status := _status(path))}
    outputs = list(outputs)
    for output in outputs:
        status = _status(output)
        if status and (status.st_dev, status.st_ino) in read:
            source = read[status.st_dev, status.st_ino]
            raise VABError(f"{output}: would overwrite the input {source}; choose another output (-o)")
        if output.is_dir():
            raise VABError(f"{output}: is a folder; name a file")
    for output in {output.parent: output for output in outputs}.values():
        check_writable(output)
    for output in outputs:
        _remove_dead_partials(output)


def check_writable(path: Path) -> None:
    """Refuse, before any work, a file or folder that nothing could be written to, there or to be made.

    Raises:
        VABError: says why not.
    """
    path = path.absolute()
    folder = next(parent for parent in (path, *path.parents) if parent.exists())
    try:
        tempfile.TemporaryFile(dir=folder.parent if folder == path and path.is_file() else folder).close()
    except OSError as error:
        raise VABError(f"{path}: cannot be written ({error.strerror}); choose another output (-o)") from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # absent, or a name that no file can have
        return None


def _start_of_partials(path: Path) -> str:
    """Of the temporary names of a file, before the number of the process that writes it."""
    return f".{hashlib.sha256(path.name.encode(errors='surrogateescape')).hexdigest()[:8]}-"


def _remove_dead_partials(path: Path) -> None:
    start = _start_of_partials(path)
    for partial in path.parent.glob(start + "*.partial*"):
        process = partial.name.removeprefix(start).split("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # where signal 0 would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left half-written in a folder; for its only writer."""
    for leftover in folder.rglob(PARTIAL):
        leftover.unlink()
