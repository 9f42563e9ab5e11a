"""Seeds of clips: each clip of a set has noise of its own, wherever it stands in the set."""

from __future__ import annotations

import hashlib


def clip_seed(seed: int, clip: str, sample: int = 0) -> int:
    """A 63-bit seed from the set's seed, the clip's identity and the number of its sample.

    Args:
        seed: of the whole set.
        clip: the clip's id, or its file's name without suffix.
        sample: which of several sounds of the clip.
    """
    digest = hashlib.sha256(f"{seed}\n{sample}\n{clip}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
