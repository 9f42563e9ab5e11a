"""VAB: one masked multiway transformer for video-to-audio generation, retrieval and classification.

import vab

model = vab.load("demo")
model.generate("clip.mp4", seed=0).save("out.mp4")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vab.pipeline import Pipeline, load

__version__ = "0.1.0"
__all__ = ["Pipeline", "load"]


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for, so that ``vab --help`` is quick."""
    if name in __all__:
        from vab import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'vab' has no attribute {name!r}")
