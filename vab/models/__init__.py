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
    return [
        name
        for folder, module in _modules().items()
        for name in (folder, *(f"{folder}-{variant}" for variant in _variants(module)))
    ]


def find_model(name: str) -> ModelFolder:
    """The parts of a model.

    Raises:
        WeightsError: there is no such model, or its folder lacks a part or names one that is not there.
    """
    if name not in (names := model_names()):
        raise WeightsError(f"no model is called {name!r}; there are: {', '.join(names)}")
    modules = _modules()
    folder, _, variant = (name, "", "") if name in modules else name.rpartition("-")
    module = importlib.import_module(modules[folder])
    places = _variants(modules[folder])[variant] if variant else vars(module)

    def part(key: str) -> type[Any] | None:
        if key not in places:
            return None
        try:
            where, attribute = places[key].split(":")
            return getattr(importlib.import_module(where, module.__name__), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise WeightsError(
                f"model {name!r}: {key} {places[key]!r} cannot be imported: {error}"
            ) from error

    config, model = part("CONFIG"), part("MODEL")
    if config is None or model is None:
        raise WeightsError(f"model {name!r}: {module.__name__} must name CONFIG and MODEL")
    rest = ("OBJECTIVE", "OBJECTIVE_OPTIONS", "GENERATOR", "REFINER", "SAMPLING")
    return ModelFolder(config, model, *map(part, rest))


def _modules() -> dict[str, str]:
    """Module of each folder by its name, those of other packages too."""
    own = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    found = {name: f"{__name__}.{name}" for name in own}
    for entry in entry_points(group=ENTRY_POINTS):
        found.setdefault(entry.name, entry.value)
    return found


def _variants(module: str) -> dict[str, dict[str, str]]:
    """``VARIANTS`` of a folder: ``{"encoder": {"CONFIG": ".config:...", "MODEL": ".encoder:..."}}``."""
    return getattr(importlib.import_module(module), "VARIANTS", {})
