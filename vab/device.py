"""Which device ``auto`` stands for."""

from __future__ import annotations

import torch


def choose_device(name: str) -> str:
    """``auto`` as a GPU where there is one, else the CPU; any other name as it is."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
