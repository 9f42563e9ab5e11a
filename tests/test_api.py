"""The Python interface: what ``vab`` offers by name, and the notebook that shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_tiny_clip

import vab
from vab.errors import WeightsError

ROOT = Path(__file__).parents[1]


def test_what_is_offered_is_listed_and_there() -> None:
    assert {"load", "Pipeline", "Clip", "Generation", "SaveOptions", "Index"} <= set(dir(vab))
    assert all(getattr(vab, name) for name in vab.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        vab.nothing  # noqa: B018


def test_listing_loads_nothing_heavy() -> None:
    script = "import sys, vab; assert 'load' in dir(vab); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_an_unknown_model_is_offered_models_only() -> None:
    with pytest.raises(WeightsError, match="demo-vab") as caught:
        vab.load("nope")
    assert "demo-codec" not in str(caught.value) and "vggish" not in str(caught.value)


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_clip(tmp_path / "clip.mp4", 1.0)
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert sorted(path.name for path in Path("out").iterdir()) == ["clip.mp4", "clip.mp4.json"]
    assert getattr(names["similarities"], "shape", None) == (2,)
