"""The passes of one decoding on a GPU, recorded once: launching their kernels one by one takes longer than they run."""

from __future__ import annotations

import torch

from vab.decoding.guidance import LogitsOf
from vab.shapes import Tensor


def replayed(logits_of: LogitsOf) -> LogitsOf:
    """The same function of inputs of one shape on a GPU; the first pass runs as it is, the second becomes a CUDA graph.

    A result is overwritten by the next call.
    """
    num_calls = 0
    graph = torch.cuda.CUDAGraph()
    given: Tensor
    result: Tensor

    def replay(codes: Tensor) -> Tensor:
        nonlocal num_calls, given, result
        num_calls += 1
        if num_calls == 1:
            return logits_of(codes)
        if num_calls == 2:
            given = codes.clone()
            with torch.cuda.graph(graph):
                result = logits_of(given)
        given.copy_(codes)
        graph.replay()
        return result

    return replay
