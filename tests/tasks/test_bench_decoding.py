"""The benchmark of decoding: every system timed on the same clip, ratios of the same run."""

import json
from pathlib import Path

import pytest

from tasks import cli
from tasks.bench.decoding import twin_of
from vab.models.v_aura.model import VAURA
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB

ROOT = Path(__file__).parents[2]


def test_all_systems_are_timed_and_compared(tmp_path: Path) -> None:
    words = [
        "bench",
        "decoding",
        "--config",
        str(ROOT / "configs/vab/vab_dac.yaml"),
        "--seconds",
        "1",
        "--layers",
        "1",
    ]
    words += ["--width", "32", "--dtype", "float32", "--device", "cpu", "-o", str(tmp_path / "out.json")]
    assert cli.main(words) == 0
    document = json.loads((tmp_path / "out.json").read_text())
    assert [row["system"] for row in document["rows"]] == ["masked", "cached", "uncached"]
    assert [row["passes"] for row in document["rows"]] == [16, 53, 53]
    masked, cached, _ = (row["seconds"] for row in document["rows"])
    assert document["ratios"]["cached/masked"] == pytest.approx(cached / masked)
    assert document["model"]["width"] == document["twin"]["width"] == 32


def test_the_twin_is_of_like_size() -> None:
    config = VABConfig(num_layers=4, num_encoder_layers=2, width=256, num_heads=4, has_experts=False)
    sizes = [
        sum(each.numel() for each in module.parameters())
        for module in (VAB(config).blocks, VAURA(twin_of(config)).blocks)
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
