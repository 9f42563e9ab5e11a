"""Clips with made-up embeddings; run as a script, it adds some to an index, one after the other."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from vab.retrieval.base import ClipDatabase, IndexInfo

DIM = 16
INFO = IndexInfo("tiny", "0" * 64, DIM, "flat")


def fake_vectors(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors [count, DIM]."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def add_fake(database: ClipDatabase, key: str, vectors: np.ndarray) -> None:
    """A clip of windows that have frames, in two stretches; the first window has audio too."""
    clip = database.start_clip(key, 1, f"{key}.mp4", (len(vectors), 7))
    spans = [(float(n), 1.0, True, n == 0) for n in range(len(vectors))]
    database.add_stretch(clip, spans[:1], {"video": vectors[:1], "audio": vectors[:1]}, resume=1)
    database.add_stretch(clip, spans[1:], {"video": vectors[1:], "audio": vectors[:0]}, resume=None)


if __name__ == "__main__":
    from vab.retrieval.lance import LanceDatabase

    index = LanceDatabase(Path(sys.argv[1]))
    for number in range(1, 6):
        add_fake(index, str(number), fake_vectors(4, seed=number))
        index.commit()
        print(number, flush=True)
    index.finish()
