"""Sound in passing: blocks of samples cut to length or regrouped, never all of them at once."""

from collections.abc import Iterator

import numpy as np


def fit(blocks: Iterator[np.ndarray], length: int, max_block: int) -> Iterator[np.ndarray]:
    """Cut blocks [..., l] or follow them with silence, so that ``length`` samples come out in all.

    Silence comes in blocks of at most ``max_block`` samples. Nothing is drawn from ``blocks`` once
    ``length`` is reached. Without a single block nothing is known of the other axes: [length].
    """
    shape: tuple[int, ...] = ()
    missing = length
    while missing > 0:
        block = next(blocks, None)
        if block is None:
            break
        shape = block.shape[:-1]
        yield block[..., :missing]
        missing -= block.shape[-1]
    while missing > 0:
        silence = np.zeros((*shape, min(missing, max_block)), np.float32)
        yield silence
        missing -= silence.shape[-1]


def regroup(blocks: Iterator[np.ndarray], chunk_length: int) -> Iterator[np.ndarray]:
    """Blocks of any size as chunks [..., chunk_length], the last one shorter."""
    waiting: list[np.ndarray] = []
    num_waiting = 0
    for block in blocks:
        waiting.append(block)
        num_waiting += block.shape[-1]
        if num_waiting < chunk_length:
            continue
        joined = np.concatenate(waiting, axis=-1)
        while joined.shape[-1] >= chunk_length:
            yield joined[..., :chunk_length]
            joined = joined[..., chunk_length:]
        waiting, num_waiting = [joined], joined.shape[-1]
    if num_waiting:
        yield np.concatenate(waiting, axis=-1)
