"""Options of ``vab info``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InfoOptions:
    """Show versions, devices, and which weights are present, where they come from and under what licence."""

    json: bool = False
    """Print JSON instead of tables."""
