"""The curves of a run: ``metrics.csv``, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from vab.files import write_atomically

Row = dict[str, str]


class Curve:
    """Rows of scalars by step, on disk as soon as they are logged; a column that is new is added to all rows."""

    def __init__(self, out: Path, first_step: int) -> None:
        """Keep what an earlier part of the run logged, less the steps that are about to be taken again.

        Args:
            out: folder of the run.
            first_step: the next step.

        Raises:
            OSError: the folder cannot be written.
        """
        self._path = out / "metrics.csv"
        self._rows = [row for row in _read(self._path) if int(row["step"]) < first_step]
        self._columns = list(self._rows[0]) if self._rows else ["step"]
        self._write_all()
        self._file = self._path.open("a", newline="")
        self.board = SummaryWriter(str(out / "tensorboard"), purge_step=first_step or None)

    def has_validation(self, step: int) -> bool:
        """Whether the rows of earlier parts of the run hold a validation."""
        return any(
            int(row["step"]) == step and any(row[name] for name in row if name.startswith("validate/"))
            for row in self._rows
        )

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append a row."""
        row = {"step": str(step), **{name: repr(value) for name, value in scalars.items()}}
        self._rows.append(row)
        if row.keys() <= set(self._columns):
            self._file.write(self._lines([row]))
            self._file.flush()
        else:
            self._columns += [name for name in row if name not in self._columns]
            self._file.close()
            self._write_all()
            self._file = self._path.open("a", newline="")
        for name, value in scalars.items():
            self.board.add_scalar(name, value, step)

    def sync(self) -> None:
        """See to it that what was logged outlives a power cut; before a checkpoint that counts on it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Finish both."""
        self._file.close()
        self.board.close()

    def _write_all(self) -> None:
        header = dict(zip(self._columns, self._columns, strict=True))
        write_atomically(self._path, self._lines([header, *self._rows]))

    def _lines(self, rows: list[Row]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, restval="", lineterminator="\n").writerows(rows)
        return text.getvalue()


def _read(path: Path) -> list[Row]:
    """All whole rows; a kill may have cut the last one."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [row for row in rows if None not in row.values() and (row.get("step") or "").isdigit()]
