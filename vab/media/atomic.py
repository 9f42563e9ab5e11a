"""A media file that appears under its name only when it is complete, and errors in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vab.errors import MediaError
from vab.files import complete_file


@contextmanager
def complete_media_file(out: Path) -> Iterator[Path]:
    """:func:`vab.files.complete_file` for a path that a user chose.

    Raises:
        MediaError: the folder cannot be made, or the path is a folder.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{out}: its folder cannot be made ({error.strerror}); choose another") from error
    if out.is_dir():
        raise MediaError(f"{out}: is a folder; name a file inside it")
    with complete_file(out) as partial:
        yield partial
