"""V-AURA through the commands at toy size: extract, pretrain, generate, evaluate."""

import json
from pathlib import Path

import pytest
import yaml
from tiny import extract_tiny, tiny_config, write_tiny_clip

from tasks import cli
from vab import media
from vab.checkpoint import load_tensors
from vab.codecs import load_codec
from vab.config import read_yaml

ROOT = Path(__file__).parents[2]
SIZES = {
    "num_layers": 1,
    "width": 24,
    "fused_visual_width": 8,
    "num_heads": 2,
    "feed_forward_width": 32,
    "codebook_size": load_codec("tiny-encodec").codebook_size,
    "num_codebooks": 4,
    "conditions": {"clip": {"width": tiny_config().visual_dim, "rate": 5.0}},
}


@pytest.mark.slow
def test_it_is_extracted_for_trained_generated_and_evaluated(tmp_path: Path) -> None:
    for index in range(3):
        write_tiny_clip(tmp_path / "corpus" / f"clip{index}.mp4", 1.5, seed=index)
    out, made = str(tmp_path / "run"), str(tmp_path / "made")
    store = str(extract_tiny(tmp_path / "corpus", tmp_path / "store", 1.4))
    demo = read_yaml(ROOT / "configs/v_aura/demo.yaml")
    config = tmp_path / "v_aura.yaml"
    config.write_text(yaml.safe_dump({**demo, "model": {**demo["model"], **SIZES}}))
    train = ["pretrain", "--config", str(config), "--store", store, "--out", out, "--device", "cpu"]
    train += ["--training.max_steps", "3", "--training.batch_size", "2", "--training.validate_every", "3"]
    train += ["--training.precision", "32", "--data.crop_seconds", "1", "--data.num_logged_clips", "1"]
    assert cli.main(train) == 0
    header = load_tensors(tmp_path / "run" / "model.safetensors")[1]
    assert header["type"] == "v_aura" and set(header["components"]) == {"codes", "clip"}
    generate = ["generate", str(tmp_path / "corpus"), "-o", made, "--weights", f"{out}/model.safetensors"]
    assert cli.main([*generate, "--device", "cpu", "--sampling.top_p", "0.9"]) == 0
    settings = json.loads((tmp_path / "made" / "clip0.mp4.json").read_text())
    assert settings["sampling"] == {
        "cfg_scale": 3.0, "temperature": 1.0, "top_k": 128, "top_p": 0.9, "stride_seconds": None
    }  # fmt: skip
    assert settings["condition_rates"] == {"clip": 5.0}
    length = media.read_audio(tmp_path / "made" / "clip0.mp4", 16000).shape[1]
    assert abs(length - 24000) <= 16, "longer than the context of 1 s"
    report = str(tmp_path / "report.json")
    evaluate = ["evaluate", "generation", "--generated", made, "--reference", str(tmp_path / "corpus")]
    assert cli.main([*evaluate, "-o", report]) == 0
    assert json.loads((tmp_path / "report.json").read_text())
