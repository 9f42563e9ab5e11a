"""What the store and the dataset hand out: the features of several clips, padded to one length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from vab.shapes import Bool, Float, Int, Tensor


@dataclass(frozen=True)
class FeatureBatch:
    """Codes and visual features of B clips, with what is real in them (axes: ``vab/shapes.py``)."""

    codes: Int[Tensor, "B K S"]
    """int64."""
    visual: Float[Tensor, "B F E"]
    """float32, not normalised; beyond a clip's end its last frame repeats (paper appendix B.1)."""
    is_valid: Bool[Tensor, "B S"]
    """True = real sound, False = padding; a clip without sound is all False."""
    is_valid_visual: Bool[Tensor, "B F"]
    """True = a real frame, False = padding; a clip without pictures is all False."""
    ids: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    """Labels of each clip; of its first part where it is mixed."""
    partner: Int[Tensor, " B"] | None = None
    """Row of the clip that a clip's second part comes from, itself where unmixed; None = nothing is mixed."""
    mix: Float[Tensor, " B"] | None = None
    """Share of a clip that is its own, 1 where unmixed: the weight of ``labels[b]``; the rest is the partner's."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_audio(self) -> Bool[Tensor, " B"]:
        """True where a clip has any sound."""
        return self.is_valid.any(dim=1)

    @property
    def has_visual(self) -> Bool[Tensor, " B"]:
        """True where a clip has any picture."""
        return self.is_valid_visual.any(dim=1)

    def to(self, device: str | torch.device, *, non_blocking: bool = False) -> FeatureBatch:
        """The same batch with its tensors on ``device``."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> FeatureBatch:
        """The same batch in page-locked memory; the data loader calls this."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> FeatureBatch:
        changed: dict[str, Any] = {
            field.name: change(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **changed)
