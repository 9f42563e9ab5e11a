"""Lists of clips to search among, as others publish them; the lists themselves are the user's."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vab.checkpoint import one_line
from vab.errors import ManifestError

ID_COLUMNS = ("video_id", "id", "clip_id", "youtube_id", "key")
"""Names of the column or field that holds a clip's id, the first that is there."""


def read_clip_ids(path: Path) -> list[str]:
    """Ids of a list, each once, in its order.

    Three kinds are told from the content: JSON whose ``data`` or ``videos`` is a list of objects with a ``video_id``
    (CAV-MAE's lists of 5 clips a class for VGGSound and AudioSet; MSR-VTT), CSV with such a column (MSR-VTT's zero-shot
    list of 1,000), and plain text, one id a line.

    Raises:
        ManifestError: the list cannot be read or holds no ids.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        is_json = text.lstrip().startswith(("{", "["))
        ids = _from_json(json.loads(text)) if is_json else _from_lines(text.splitlines())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path}: not a list of clips ({one_line(error)})") from error
    if not ids:
        raise ManifestError(f"{path}: no clip ids in it; a JSON or CSV needs one of {', '.join(ID_COLUMNS)}")
    return list(dict.fromkeys(ids))


def match_ids(wanted: Sequence[str], present: Sequence[str]) -> tuple[list[int], list[str]]:
    """Places of the wanted clips among those present, and the ids of those that are not there.

    A clip is present under its id, or under its id and its start, as in ``<id>_30`` or ``<id>_000030``.
    """
    places = {name: place for place, name in enumerate(present)}
    for place, name in enumerate(present):
        stem, _, start = name.rpartition("_")
        if stem and start.replace(".", "", 1).isdecimal():
            places.setdefault(stem, place)
    return [places[name] for name in wanted if name in places], [
        name for name in wanted if name not in places
    ]


def _from_json(document: Any) -> list[str]:
    rows = document
    if isinstance(document, dict):
        rows = document["data"] if "data" in document else document["videos"]
    return [str(row if isinstance(row, str) else row[_id_of(row)]) for row in rows]


def _from_lines(lines: list[str]) -> list[str]:
    header = next(csv.reader(lines[:1]), [])
    if set(header) & set(ID_COLUMNS):
        column = _id_of(header)
        return [row[column] for row in csv.DictReader(lines)]
    return [line.strip() for line in lines if line.strip()]


def _id_of(names: Any) -> str:
    return next(name for name in ID_COLUMNS if name in names)
