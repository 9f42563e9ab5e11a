"""One folder a model; the folder's name is the model's name in weights files and configurations.

``vab/models/<name>/__init__.py`` says where its parts are, as ``"module:attribute"`` strings so that nothing heavy is
imported (``.config:VABConfig`` is beside it); ``base.py`` has their contracts:

- ``CONFIG``, a frozen dataclass, and ``MODEL``, the network built from it;
- ``OBJECTIVE``, built as ``OBJECTIVE(model, options)``, and ``OBJECTIVE_OPTIONS``, the dataclass of these options;
- ``GENERATOR`` or ``REFINER``, and ``SAMPLING``, the dataclass of its sampling options.

``VARIANTS`` names other models of the same folder, each with parts of its own: the ``refiner`` of the folder ``vab`` is
the model ``vab-refiner``. A model may also live in another package, which names such a module as an entry point of the
group ``vab.models``. ``docs/adding-a-model.md`` adds one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from vab.errors import WeightsError

ENTRY_POINTS = "vab.models"
"""Group in which other packages name the modules of their models."""


@dataclass(frozen=True)
class ModelFolder:
    """The parts of a model that others need to know; what it does not name is None."""

    config: type[Any]
    model: type[Any]
    objective: type[Any] | None
    objective_options: type[Any] | None
    generator: type[Any] | None
    refiner: type[Any] | None
    sampling: type[Any] | None


def model_names() -> list[str]:
    """Names of all models, variants too."""
    return list(_models())


def find_model(name: str) -> ModelFolder:
    """The parts of a model.

    Raises:
        WeightsError: there is no such model, or its folder lacks a part or names one that is not there.
    """
    models = _models()
    if name not in models:
        raise WeightsError(f"no model is called {name!r}; there are: {', '.join(models)}")
    folder, places = models[name]

    def part(key: str) -> type[Any] | None:
        if key not in places:
            return None
        try:
            where, attribute = places[key].split(":")
            return getattr(importlib.import_module(where, folder), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise WeightsError(
                f"model {name!r}: {key} {places[key]!r} cannot be imported: {error}"
            ) from error

    config, model = part("CONFIG"), part("MODEL")
    if config is None or model is None:
        raise WeightsError(f"model {name!r}: {folder} must name CONFIG and MODEL")
    rest = ("OBJECTIVE", "OBJECTIVE_OPTIONS", "GENERATOR", "REFINER", "SAMPLING")
    return ModelFolder(config, model, *map(part, rest))


def _models() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Of each model, those of other packages and variants too, the module of its folder and what that says of it."""
    own = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    folders = {name: f"{__name__}.{name}" for name in own}
    for entry in entry_points(group=ENTRY_POINTS):
        folders.setdefault(entry.name, entry.value)
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, folder in folders.items():
        places = vars(importlib.import_module(folder))
        found[name] = folder, places
        for variant, parts in places.get("VARIANTS", {}).items():
            found.setdefault(f"{name}-{variant}", (folder, parts))
    return found
