"""A file that appears under its name only when it is complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vab.errors import MediaError


@contextmanager
def complete_file(out: Path) -> Iterator[Path]:
    """Give a temporary name beside ``out``; on success it takes its place, on any failure it is removed.

    The folder is made where it is missing. The temporary name keeps the suffix, by which FFmpeg chooses
    the container, and starts with a dot, so that a folder in use is never read half-written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{out}: its folder cannot be made ({error.strerror}); choose another") from error
    if out.is_dir():
        raise MediaError(f"{out}: is a folder; name a file inside it")
    partial = out.absolute().with_name(f".{os.getpid()}-{os.urandom(4).hex()}{out.suffix}")
    try:
        yield partial
        try:
            partial.replace(out)
        except OSError as error:
            raise MediaError(f"{out}: cannot be written ({error.strerror}); choose another name") from error
    finally:
        partial.unlink(missing_ok=True)
