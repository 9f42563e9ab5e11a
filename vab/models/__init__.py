"""One folder a model; the folder's name is the model's name in weights files and configurations.

``vab/models/<name>/__init__.py`` says in ``CONFIG`` and ``MODEL`` (``"module:attribute"`` strings, so that nothing
heavy is imported) where its configuration and its network are. Adding a folder adds a model; nothing else changes.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from vab.errors import WeightsError


def model_names() -> list[str]:
    """Names of all models."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def find_model(name: str) -> tuple[type[Any], type[Any]]:
    """Configuration class and network class of a model.

    Raises:
        WeightsError: there is no such model.
    """
    if name not in model_names():
        raise WeightsError(f"no model is called {name!r}; there are: {', '.join(model_names())}")
    folder = importlib.import_module(f"{__name__}.{name}")
    found = []
    for where in (folder.CONFIG, folder.MODEL):
        module, attribute = where.split(":")
        found.append(getattr(importlib.import_module(f"{folder.__name__}.{module}"), attribute))
    return found[0], found[1]
