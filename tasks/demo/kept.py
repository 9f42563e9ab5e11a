"""Arrays that take long to make: made once, kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from tasks.console import track
from vab.files import complete_file
from vab.shapes import Float, Tensor

T = TypeVar("T")


def kept_arrays(path: Path, name: str, sources: Sequence[T], of: Callable[[T], np.ndarray]) -> np.ndarray:
    """One array a source, stacked, memory-mapped.

    Args:
        path: a NumPy file, whose name tells all that the arrays depend on.
        name: for the progress bar.
        sources: what to make arrays of.
        of: the array of one source.
    """
    if not path.exists():
        arrays = [of(source) for source in track(sources, name)]
        with complete_file(path) as partial:
            np.save(partial, np.stack(arrays))
    return np.load(path, mmap_mode="r")


def kept_sounds(
    path: Path, name: str, sources: Sequence[T], sound_of: Callable[[T], np.ndarray]
) -> Float[Tensor, "N L"]:
    """The sound of each source, samples [L] from -1 to 1, kept at 16 bits; the rest as :func:`kept_arrays`."""

    def of(source: T) -> np.ndarray:
        return (sound_of(source).clip(-1, 1) * 32767).astype(np.int16)

    return torch.from_numpy(kept_arrays(path, name, sources, of).astype(np.float32)) / 32767
