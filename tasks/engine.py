"""Which engine a command runs on: the check that all of them share."""

from __future__ import annotations

from vab.errors import ConfigError


def scheduler_of(engine: str, scheduler: str | None) -> str | None:
    """Address of the scheduler; None = this process does the work.

    Raises:
        ConfigError: one option without the other.
    """
    if (engine == "dask") != (scheduler is not None):
        raise ConfigError("--engine dask and --scheduler ADDRESS go together; give both or neither")
    return scheduler
