"""``vab evaluate list``: which clips a number is of, cut from VGGSound's own list and tied to it by its hash."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tasks.console import say
from tasks.evaluation.options import ListOptions
from vab import __version__
from vab.errors import ManifestError
from vab.features.manifest import load_manifest
from vab.files import check_outputs, write_atomically
from vab.weights import sha256_of

_NUM_COLUMNS = 4
"""``youtube_id,start,label,split``, without a header."""


def run(options: ListOptions) -> int:
    """Write the list; its first lines say where it comes from."""
    check_outputs([options.output])
    rows = _read(options.source)
    kept = [row for row in rows if row[3] == options.split]
    if not kept:
        splits = ", ".join(sorted({row[3] for row in rows}))
        raise ManifestError(
            f"{options.source}: no clips of split {options.split!r}; its splits are: {splits}"
        )
    rules = [f"split {options.split}"]
    if options.labels:
        known = {row[2] for row in kept}
        unknown = [label for label in options.labels if label not in known]
        if unknown:
            raise ManifestError(f"{options.source}: no clips of {unknown[0]!r} in split {options.split!r}")
        kept = [row for row in kept if row[2] in options.labels]
        rules.append("labels " + ", ".join(options.labels))
    if options.media_root is not None:
        found = {clip.id for clip in load_manifest(options.source, media_root=options.media_root).clips}
        kept = [row for row in kept if _id(row) in found]
        rules.append("files that are there")
        if not kept:
            raise ManifestError(f"{options.media_root}: holds no file of these clips")
    text = io.StringIO()
    text.write(
        f"# {len(kept)} of {len(rows)} clips of {options.source.name}, SHA-256 {sha256_of(options.source)}\n"
    )
    text.write(f"# {'; '.join(rules)}; by vab {__version__}\n")
    csv.writer(text, lineterminator="\n").writerows(kept)
    write_atomically(options.output, text.getvalue())
    say(f"{options.output}: {len(kept)} of {len(rows)} clips, SHA-256 {sha256_of(options.output)}")
    return 0


def _read(path: Path) -> list[list[str]]:
    """All rows, each of four cells.

    Raises:
        ManifestError: names the file and the line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read as a CSV ({error})") from error
    for line, row in enumerate(rows, start=1):
        if len(row) != _NUM_COLUMNS or not row[1].strip().isdecimal():
            raise ManifestError(
                f"{path}: row {line} is not VGGSound's youtube_id,start,label,split; name its vggsound.csv"
            )
    if not rows:
        raise ManifestError(f"{path}: holds no clips")
    return rows


def _id(row: Sequence[str]) -> str:
    """As the reader of such lists names a clip."""
    return f"{row[0]}_{int(row[1]):06d}"
