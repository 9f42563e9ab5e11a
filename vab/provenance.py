"""With what a result was made: version of the code, libraries, machine, date; the same in weights and in reports."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

from vab import __version__


def made_with() -> dict[str, str]:
    """Date, code, PyTorch and machine, ready for JSON."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "vab": code_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def code_version() -> str:
    """The package's version, and the commit where it runs from a git checkout: ``0.1.0+ge8905f4``."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return __version__
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+g{commit}"
