"""How a transformer's weights start."""

from __future__ import annotations

from torch import nn


def initialise(module: nn.Module) -> None:
    """Small normal weights and zero biases in the linears; the rest keeps its own start (for ``apply``)."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
