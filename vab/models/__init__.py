"""One folder a model; the folder's name is the model's name in weights files and configurations.

``vab/models/<name>/__init__.py`` says where its parts are, as ``"module:attribute"`` strings so that nothing heavy is
imported: ``CONFIG``, ``MODEL`` (built from a CONFIG) and ``GENERATOR`` (see ``base.py``). Adding a folder adds a model;
nothing else changes.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from vab.errors import WeightsError


@dataclass(frozen=True)
class ModelFolder:
    """The parts of a model that others need to know."""

    config: type[Any]
    model: type[Any]
    generator: type[Any]


def model_names() -> list[str]:
    """Names of all models."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def find_model(name: str) -> ModelFolder:
    """The parts of a model.

    Raises:
        WeightsError: there is no such model.
    """
    if name not in model_names():
        raise WeightsError(f"no model is called {name!r}; there are: {', '.join(model_names())}")
    folder = importlib.import_module(f"{__name__}.{name}")

    def part(where: str) -> type[Any]:
        module, attribute = where.split(":")
        return getattr(importlib.import_module(f"{folder.__name__}.{module}"), attribute)

    return ModelFolder(part(folder.CONFIG), part(folder.MODEL), part(folder.GENERATOR))
