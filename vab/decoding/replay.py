"""Decoding steps on a GPU, recorded once and replayed: launching kernels one by one takes longer than they run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from vab.shapes import Tensor

Step = Callable[..., tuple[Tensor, ...]]
"""Of tensors, to tensors."""
NUM_KEPT = 4
"""Recordings of a model, such as a full window's and a padded one's; each has its own memory."""
_RECORDINGS: WeakKeyDictionary[nn.Module, dict[Hashable, _Recording]] = WeakKeyDictionary()


def replayed(step: Step, *, model: nn.Module, condition: Any, cfg_scale: float) -> Step:
    """The same step of tensors on a GPU, as a CUDA graph that serves all conditions and inputs of the same shapes.

    The first call for a model and shapes runs as it is, the second is recorded, all later ones are replayed, of this
    step and of later ones. A result is overwritten by the next call.

    Args:
        step: reads, besides its arguments, the model, the condition and the scale alone.
        model: recordings live as long as it does; weights that have moved are recorded anew.
        condition: tensors, or dataclasses, mappings and sequences of them.
        cfg_scale: of the guidance in the step.
    """
    tensors = _tensors(condition)
    weights = tuple(parameter.data_ptr() for parameter in model.parameters())
    key = (weights, tuple((each.shape, each.dtype) for each in tensors), cfg_scale)
    recordings = _RECORDINGS.setdefault(model, {})
    recording = recordings.pop(key, None) or _Recording()
    while len(recordings) >= NUM_KEPT:
        del recordings[next(iter(recordings))]
    recordings[key] = recording
    recording.take(tensors)
    return lambda *inputs: recording(step, inputs)


class _Recording:
    """A graph, and the memory that it reads its condition and its inputs from."""

    def __init__(self) -> None:
        self.graph = torch.cuda.CUDAGraph()
        self.condition: Sequence[Tensor] = ()
        self.inputs: Sequence[Tensor] = ()
        self.result: tuple[Tensor, ...] | None = None
        self.is_warm = False

    def take(self, condition: Sequence[Tensor]) -> None:
        """Another condition for the calls to come."""
        if self.result is None:
            self.condition = condition
            return
        for ours, given in zip(self.condition, condition, strict=True):
            ours.copy_(given)

    def __call__(self, step: Step, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if not self.is_warm:
            self.is_warm = True
            return step(*inputs)
        if self.result is None:
            self.inputs = [each.clone() for each in inputs]
            with torch.cuda.graph(self.graph):
                self.result = step(*self.inputs)
        for ours, given in zip(self.inputs, inputs, strict=True):
            ours.copy_(given)
        self.graph.replay()
        return self.result


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in it, in order."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, Mapping):
        value = list(value.values())
    return [each for part in value for each in _tensors(part)] if isinstance(value, list | tuple) else []
