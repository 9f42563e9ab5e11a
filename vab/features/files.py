"""Files of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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
