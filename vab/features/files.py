"""Files that appear whole or not at all, and lines of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".tmp"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name, flush it to the disk, then rename it."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_lines(documents: Iterable[dict[str, Any]]) -> bytes:
    """JSON Lines in plain ASCII: a file name that is not valid UTF-8 survives as escapes."""
    return "".join(json.dumps(d) + "\n" for d in documents).encode()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON Lines of objects.
    """
    with path.open(encoding="utf-8") as file:
        documents = [json.loads(line) for line in file]
    if not all(isinstance(document, dict) for document in documents):
        raise ValueError("a line is not a JSON object")
    return documents
