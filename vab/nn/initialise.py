"""How a transformer's weights start."""

from __future__ import annotations

from torch import nn


def initialise(module: nn.Module) -> None:
    """Normal weights and zero biases in the linears; the rest keeps its own start (for ``apply``).

    Outputs are as large as inputs whatever the width: a fixed 0.02 would leave the layers of a narrow model silent at
    first.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
