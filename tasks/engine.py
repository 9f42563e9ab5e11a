"""Which engine a command runs on."""

from __future__ import annotations

from collections.abc import Callable

from vab.cluster import Cluster, Context
from vab.errors import ConfigError


def cluster_of(engine: str, scheduler: str | None, load: Callable[[], Context]) -> Cluster[Context] | None:
    """The workers of a scheduler, which load what the work needs; None: this process does the work.

    Raises:
        ConfigError: one option without the other.
    """
    if (engine == "dask") != (scheduler is not None):
        raise ConfigError("--engine dask and --scheduler ADDRESS go together; give both or neither")
    return None if scheduler is None else Cluster(scheduler, load)
