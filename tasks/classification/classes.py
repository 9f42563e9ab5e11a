"""Which classes there are, and which class a clip's label means."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vab.errors import ManifestError

AUDIOSET_COLUMNS = {"mid", "display_name"}


@dataclass(frozen=True)
class Classes:
    """Classes in a fixed order."""

    names: tuple[str, ...]
    class_of: dict[str, int]
    """Number of the class that a label means; AudioSet's labels are machine ids."""
    source: str
    """Where they come from, for messages."""

    @classmethod
    def of_labels(cls, labels: Iterable[Sequence[str]], source: str) -> Classes:
        """Every label a class, sorted.

        Raises:
            ManifestError: fewer than two.
        """
        names = sorted({label for clip in labels for label in clip})
        return cls._checked(names, {name: number for number, name in enumerate(names)}, source)

    @classmethod
    def read(cls, path: Path) -> Classes:
        """AudioSet's ``class_labels_indices.csv`` (index, mid, display_name), or a class a line.

        Raises:
            ManifestError: the file cannot be read, names a class twice, or fewer than two.
        """
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path}: cannot be read as a list of classes ({error})") from error
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        header = {cell.strip() for cell in lines[0].split(",")} if lines else set()
        if header >= AUDIOSET_COLUMNS:
            rows = list(csv.DictReader(lines, skipinitialspace=True))
            if any(not row["mid"] or not row["display_name"] for row in rows):
                raise ManifestError(f"{path}: a row without mid or display_name")
            names = [row["display_name"] for row in rows]
            labels = [row["mid"] for row in rows]
        else:
            names = labels = lines
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ManifestError(f"{path}: class {repeated[0]!r} is listed twice")
        class_of = {label: number for number, label in enumerate(labels)}
        return cls._checked(names, class_of, str(path))

    @classmethod
    def _checked(cls, names: Sequence[str], class_of: dict[str, int], source: str) -> Classes:
        if len(names) < 2:
            raise ManifestError(f"{source}: {len(names)} classes; a classifier needs at least two")
        return cls(tuple(names), class_of, source)

    def check(self, ids: Sequence[str], labels: Sequence[Sequence[str]], *, is_multilabel: bool) -> None:
        """Every clip's labels are classes, and exactly one where clips have one.

        Raises:
            ManifestError: they are not; named in one line.
        """
        unknown: dict[str, str] = {}
        for id, clip in zip(ids, labels, strict=True):
            unknown |= {label: id for label in clip if label not in self.class_of}
            if not is_multilabel and len(clip) != 1:
                raise ManifestError(
                    f"clip {id} has {len(clip)} labels{': ' if clip else ''}{', '.join(clip)}; "
                    "leave it out, or allow any number with --data.multilabel true"
                )
        if unknown:
            label, id = next(iter(unknown.items()))
            raise ManifestError(
                f"{self.source}: {len(unknown)} labels of clips are not among its {len(self.names)} classes "
                f"(such as {label!r} of clip {id}); correct the labels, or give a --data.class_list that has them"
            )

    def targets(self, labels: Sequence[Sequence[str]]) -> np.ndarray:
        """Which classes clips have, whose labels were checked: bool [clips, classes]."""
        result = np.zeros((len(labels), len(self.names)), bool)
        for row, clip in enumerate(labels):
            result[row, [self.class_of[label] for label in clip]] = True
        return result
