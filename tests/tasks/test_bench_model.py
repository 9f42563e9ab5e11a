"""Speed of a configuration: sizes, seconds, and the floor of its matrix products."""

import json
from pathlib import Path

import pytest

from tasks import cli

TIVA = Path(__file__).parents[2] / "configs/tiva/demo.yaml"
CONFIG = """
model: {num_layers: 2, num_encoder_layers: 1, width: 32, num_heads: 2, num_codebooks: 2, codebook_size: 16,
        codebook_dim: 8, frame_rate: 50.0, visual_dim: 8, visual_fps: 4.0}
sampling: {num_steps: 2, cfg_scale: 2.0}
"""
MASKVAT = """
type: maskvat
model: {network: hybrid, num_layers: 2, num_encoder_layers: 1, width: 32, num_heads: 2, num_codebooks: 2,
        codebook_size: 16, codebook_dim: 8, frame_rate: 50.0,
        conditions: {clip: {width: 8, rate: 4.0}, sync: {width: 8, rate: 25.0}}}
sampling: {num_steps: 2, cfg_scale: 2.0}
"""


@pytest.mark.parametrize(
    ("what", "dtype"),
    [
        ("generate", "float32"),
        ("generate", "bfloat16"),
        ("generate", "int8"),
        ("train", "float32"),
        ("train", "bfloat16"),
    ],
)
def test_seconds_stand_beside_their_floor(what: str, dtype: str, tmp_path: Path) -> None:
    config, out = tmp_path / "tiny.yaml", tmp_path / "out.json"
    config.write_text(CONFIG)
    words = f"bench {what} {config} --seconds 1 --repeats 2 --dtype {dtype} --device cpu -o {out}"
    assert cli.main(words.split()) == 0
    document = json.loads(out.read_text())
    [row] = document["models"]
    assert (document["benchmark"], document["what"]) == ("speed", what)
    assert (row["num_code_steps"], row["num_frames"]) == (50, {"clip": 4})
    assert len(row["seconds"]["each"]) == 2
    assert row["times_floor"] == pytest.approx(row["seconds"]["median"] / row["floor_seconds"])
    # A product of [B x tokens, D] by 12 D^2 weights a layer, and two of attention, heads aside, twice guided in each
    # of 2 steps; a step of training takes three times its forward pass.
    products = 2 * 2 * 54 * (12 * 32**2 + 2 * 54 * 32) * (2 * 2 if what == "generate" else 3)
    assert 1 < row["teraflops"] * 1e12 / products < 1.3


@pytest.mark.parametrize("what", ["generate", "train"])
def test_a_profile_says_where_the_time_goes(what: str, tmp_path: Path) -> None:
    config, out = tmp_path / "tiny.yaml", tmp_path / "profile.json"
    config.write_text(CONFIG)
    words = f"bench {what} {config} --seconds 1 --repeats 1 --dtype float32 --device cpu --profile {out}"
    assert cli.main(words.split()) == 0
    document = json.loads(out.read_text())
    assert (document["benchmark"], document["what"]) == ("profile", what)
    [run] = document["models"]
    assert "aten::addmm" in run["seconds"]
    assert list(run["seconds"].values()) == sorted(run["seconds"].values(), reverse=True)
    assert ("aten::mm" in run["seconds"]) == (what == "train"), "products of the backward pass"


@pytest.mark.parametrize("what", ["generate", "train"])
def test_maskvat_is_timed_on_all_its_conditions(what: str, tmp_path: Path) -> None:
    config, out = tmp_path / "tiny.yaml", tmp_path / "out.json"
    config.write_text(MASKVAT)
    assert cli.main(f"bench {what} {config} --seconds 1 --repeats 1 --device cpu -o {out}".split()) == 0
    [row] = json.loads(out.read_text())["models"]
    assert row["num_frames"] == {"clip": 4, "sync": 25}
    assert row["times_floor"] > 1


def test_models_without_masked_codes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "generate", str(TIVA), "--device", "cpu"]) == 2
    assert f"{TIVA}: type 'tiva'" in capsys.readouterr().err


def test_training_in_8_bits_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG)
    assert cli.main(f"bench train {config} --dtype int8 --device cpu".split()) == 2
    assert "--dtype int8 is for generating" in capsys.readouterr().err
