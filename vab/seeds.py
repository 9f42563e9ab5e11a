"""Seeds of clips: each clip of a set has noise of its own, wherever it stands in the set."""

from __future__ import annotations

import hashlib


def clip_seed(seed: int, clip: str, sample: int = 0) -> int:
    """A 63-bit seed from the whole set's seed, the clip's id (or its file's name without suffix) and which of several
    sounds of the clip it is.
    """
    digest = hashlib.sha256(f"{seed}\n{sample}\n{clip}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
