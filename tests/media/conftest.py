"""Files for the tests of this package, made in each test's own folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_clips import write_made_clip


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """``make_clip(name, times, ...)``: :func:`made_clips.write_made_clip` in this test's folder."""
    return lambda name, times, **settings: write_made_clip(tmp_path / name, times, **settings)
