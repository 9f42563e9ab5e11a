"""What the store and the dataset hand out: the streams of several clips, each padded to one length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from vab.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True)
class FeatureBatch:
    """Streams of B clips, with what is real in them (axes: ``vab/shapes.py``)."""

    streams: dict[str, Tensor]
    """By name: "codes" int64 [B, K, S]; "clip" float32 [B, F, E], not normalised, beyond a clip's end its last frame
    repeated (paper appendix B.1); any other [B, steps, ...] as its maker says."""
    is_valid: dict[str, Bool[Tensor, "B _"]]
    """By the same names: True = real, False = padding; all False where a clip lacks the stream."""
    ids: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    """Labels of each clip; of its first part where it is mixed."""
    partner: Int[Tensor, " B"] | None = None
    """Row of the clip that a clip's second part comes from, itself where unmixed; None = nothing is mixed."""
    mix: Float[Tensor, " B"] | None = None
    """Share of a clip that is its own, 1 where unmixed: the weight of ``labels[b]``; the rest is the partner's."""

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, stream: str) -> Bool[Tensor, " B"]:
        """True where a clip has any of a stream."""
        return self.is_valid[stream].any(dim=1)

    def clips(self) -> list[dict[str, Tensor]]:
        """The streams of each clip alone, padding included: what a generator takes as its conditions."""
        return [{name: stream[row] for name, stream in self.streams.items()} for row in range(len(self))]

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> FeatureBatch:
        """The same batch with its tensors on ``device``."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> FeatureBatch:
        """The same batch in page-locked memory; the data loader calls this."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> FeatureBatch:
        return replace(
            self,
            streams={name: change(tensor) for name, tensor in self.streams.items()},
            is_valid={name: change(tensor) for name, tensor in self.is_valid.items()},
            partner=None if self.partner is None else change(self.partner),
            mix=None if self.mix is None else change(self.mix),
        )


def time_axis(stream: Tensor) -> int:
    """Which axis of a stream is time: the last of codes [B, K, S], the second of everything else [B, steps, ...]."""
    return 1 if stream.is_floating_point() else stream.dim() - 1


def along_time(values: Tensor, stream: Tensor) -> Tensor:
    """Values [B, steps] in the shape that broadcasts over a stream."""
    shape = [len(values)] + [1] * (stream.dim() - 1)
    shape[time_axis(stream)] = values.shape[1]
    return values.reshape(shape)


def take_steps(stream: Tensor, steps: Int[Tensor, "B taken"]) -> Tensor:
    """A stream's features at some steps of each clip."""
    axis = time_axis(stream)
    shape = list(stream.shape)
    shape[axis] = steps.shape[1]
    return stream.gather(axis, along_time(steps, stream).expand(shape))
