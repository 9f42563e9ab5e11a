"""Shared by all tests: shapes checked at every call into ``vab``, and the optional real files."""

import os
import shutil
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; commands that tests start inherit this
    os.environ["OMP_NUM_THREADS"] = "1"

# Before anything imports vab: every annotated function in it then checks its shapes and types when called.
# The numeric tower lets an int stand for a float, as type checkers do.
install_import_hook(["vab"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first, so that no process ends with them alone."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real and deliberately awkward files: ``VAB_TEST_DATA``, else ``../shared/data``."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("VAB_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set VAB_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def browser() -> str:
    """A browser that can be driven without a screen."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs Chromium or Chrome on the PATH")
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    """How thorough the tests of interrupted trainings are."""
    parser.addoption("--moments", type=int, default=2, help="moments at which each training is interrupted")


@pytest.fixture(scope="session")
def num_moments(request: pytest.FixtureRequest) -> int:
    """Moments at which each training is interrupted."""
    return request.config.getoption("--moments")
