"""One folder a model; the folder's name is the model's name in weights files and configurations.

``vab/models/<name>/__init__.py`` says where its parts are, as ``"module:attribute"`` strings so that nothing heavy is
imported: ``CONFIG``, ``MODEL`` (built from a CONFIG) and ``GENERATOR`` or ``REFINER`` (see ``base.py``). Adding a
folder adds a model; nothing else changes. ``VARIANTS``, where there are any, name networks made from the model that do
not generate: the ``encoder`` of the folder ``vab`` is the model ``vab-encoder``.
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
    generator: type[Any] | None
    """None = this model makes no sound."""
    refiner: type[Any] | None
    """None = this model completes no codes."""


def model_names() -> list[str]:
    """Names of all models, variants too."""
    folders = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return [
        name for folder in folders for name in (folder, *(f"{folder}-{key}" for key in _variants(folder)))
    ]


def find_model(name: str) -> ModelFolder:
    """The parts of a model.

    Raises:
        WeightsError: there is no such model.
    """
    if name not in model_names():
        raise WeightsError(f"no model is called {name!r}; there are: {', '.join(model_names())}")
    folder, _, variant = name.partition("-")
    package = importlib.import_module(f"{__name__}.{folder}")
    keys = ("CONFIG", "MODEL", "GENERATOR", "REFINER")
    places = (
        _variants(folder)[variant]
        if variant
        else {key: getattr(package, key) for key in keys if hasattr(package, key)}
    )

    def part(key: str) -> type[Any]:
        module, attribute = places[key].split(":")
        return getattr(importlib.import_module(f"{package.__name__}.{module}"), attribute)

    def optional(key: str) -> type[Any] | None:
        return part(key) if key in places else None

    return ModelFolder(part("CONFIG"), part("MODEL"), optional("GENERATOR"), optional("REFINER"))


def _variants(folder: str) -> dict[str, dict[str, str]]:
    """``VARIANTS`` of a folder: ``{"encoder": {"CONFIG": "config:...", "MODEL": "encoder:..."}}``."""
    return getattr(importlib.import_module(f"{__name__}.{folder}"), "VARIANTS", {})
