"""What a classifier said of each test clip, kept as parquet."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vab.errors import StoreError
from vab.files import write_atomically

PROBABILITY = "p/"
"""Columns of probabilities are this and the class."""
TARGET = "is/"
"""Columns of the truth are this and the class."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities and truth of test clips."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    """Of the classes."""
    probabilities: np.ndarray
    """float32 [clips, classes]."""
    targets: np.ndarray
    """bool [clips, classes]."""

    def write(self, path: Path, *, fold: str) -> None:
        """One row a clip: id, fold, likeliest class, its probability, then every class's probability and truth."""
        best = self.probabilities.argmax(axis=1)
        columns = {
            "id": self.ids,
            "fold": [fold] * len(self.ids),
            "predicted": [self.names[number] for number in best],
            "probability": self.probabilities.max(axis=1),
            **{PROBABILITY + name: self.probabilities[:, i] for i, name in enumerate(self.names)},
            **{TARGET + name: self.targets[:, i] for i, name in enumerate(self.names)},
        }
        content = io.BytesIO()
        pd.DataFrame(columns).to_parquet(content, index=False)
        write_atomically(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """What ``write`` wrote.

        Raises:
            StoreError: the file is damaged.
        """
        try:
            table = pd.read_parquet(path)
            names = tuple(
                name.removeprefix(PROBABILITY) for name in table if str(name).startswith(PROBABILITY)
            )
            return cls(
                tuple(table["id"]),
                names,
                table[[PROBABILITY + name for name in names]].to_numpy(np.float32),
                table[[TARGET + name for name in names]].to_numpy(bool),
            )
        except Exception as error:  # pyarrow raises many kinds
            raise StoreError(
                f"{path}: not readable ({type(error).__name__}); delete it to do this fold again"
            ) from error
