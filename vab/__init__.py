"""VAB: one masked multiway transformer for video-to-audio generation, retrieval and classification.

import vab

model = vab.load("demo")
model.generate("clip.mp4", seed=0).save("out.mp4")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vab.features.manifest import Clip
    from vab.generation import Generation, SaveOptions
    from vab.pipeline import Pipeline, load
    from vab.retrieval.search import Index

__version__ = "0.1.0"
__all__ = ["Clip", "Generation", "Index", "Pipeline", "SaveOptions", "load"]

_MODULES = {
    "Clip": "features.manifest",
    "Generation": "generation",
    "Index": "retrieval.search",
    "Pipeline": "pipeline",
    "SaveOptions": "generation",
    "load": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for, so that ``vab --help`` is quick."""
    if name == "studio":
        return importlib.import_module("vab.studio")
    if name in _MODULES:
        return getattr(importlib.import_module(f"vab.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'vab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
