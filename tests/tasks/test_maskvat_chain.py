"""MaskVAT through the commands at toy size: four streams, a hybrid, SCAV, the best of several samples."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from tiny import extract_tiny, write_tiny_clip
from tiny_maskvat import tiny_maskvat_config

from tasks import cli
from vab import media
from vab.checkpoint import load_tensors
from vab.config import to_dict
from vab.models.files import load_model, save_model
from vab.models.vab.audio_stream import demo_audio_maker
from vab.visual import save_encoder
from vab.visual.s3d import S3D, S3DConfig, S3DEncoder


def _write(path: Path, **values: object) -> str:
    training = {
        "max_steps": 3,
        "batch_size": 2,
        "validate_every": 3,
        "precision": "32",
        "schedule": "polynomial",
    }
    path.write_text(yaml.safe_dump({**values, "training": training}))
    return str(path)


@pytest.mark.slow
def test_it_is_extracted_for_trained_generated_and_chosen(tmp_path: Path) -> None:
    for index in range(3):
        write_tiny_clip(tmp_path / "corpus" / f"clip{index}.mp4", 1.5, seed=index)
    torch.manual_seed(0)
    sync = S3DEncoder(S3D(S3DConfig((4, 6), 6, 10.0, 10, 16, 16)), name="tiny-sync")
    save_encoder(sync, tmp_path / "tiny-sync.safetensors", dtype=torch.float32)
    store, cpu = str(extract_tiny(tmp_path / "corpus", tmp_path / "store", 1.4)), ["--device", "cpu"]
    added = ["extract", "--store", store, *cpu, "--add"]
    assert cli.main([*added, "sync", "--encoder", str(tmp_path / "tiny-sync.safetensors")]) == 0
    assert cli.main([*added, "demo-audio"]) == 0

    audio = demo_audio_maker("cpu").describe("demo-audio")
    target = {"demo-audio": {"width": audio.shape[0], "rate": audio.rate}}
    model = to_dict(tiny_maskvat_config("hybrid"))
    model["conditions"]["sync"] = {"width": 6, "rate": 10.0}
    model["targets"] = target
    data = {"crop_seconds": 1.0, "num_logged_clips": 1}
    config = _write(
        tmp_path / "maskvat.yaml", type="maskvat", model=model, data=data, sampling={"num_steps": 3}
    )
    run, scav, made = (tmp_path / name for name in ("run", "scav", "made"))
    assert cli.main(["pretrain", "--config", config, "--store", store, "--out", str(run), *cpu]) == 0
    header = load_tensors(run / "model.safetensors")[1]
    assert set(header["components"]) == {"codes", "clip", "sync", "demo-audio"}
    shutil.copy(tmp_path / "tiny-sync.safetensors", run)

    for stream, code in (("demo-audio", 0), ("clip", 2)):  # only a target may come from another encoder
        earlier, card = load_model(run / "model.safetensors")
        other = replace(card.components[stream], fingerprint="another")
        card = replace(card, components={**card.components, stream: other})
        weights = str(tmp_path / "earlier.safetensors")
        save_model(Path(weights), earlier, card)
        words = ["--init", weights, "--out", str(tmp_path / f"on-{stream}")]
        assert cli.main(["pretrain", "--config", config, "--store", store, *words, *cpu]) == code
        words = ["--weights", weights, "--split", ""]
        assert cli.main(["evaluate", "tokens", "--store", store, *words, *cpu]) == code

    sizes = {"visual": {"clip": model["conditions"]["clip"]}, "audio": target, "width": 16, "num_heads": 4}
    config = _write(tmp_path / "scav.yaml", type="scav", model=sizes, data={**data, "num_logged_clips": 0})
    assert cli.main(["pretrain", "--config", config, "--store", store, "--out", str(scav), *cpu]) == 0

    generate = ["generate", str(tmp_path / "corpus"), "-o", str(made), "--num-samples", "2", *cpu]
    generate += ["--weights", str(run / "model.safetensors"), "--select", "scav", "--select-weights"]
    assert cli.main([*generate, str(scav / "model.safetensors")]) == 0
    settings = json.loads((made / "clip0.mp4.json").read_text())
    assert settings["condition_rates"] == {"clip": 5.0, "sync": 10.0}
    assert settings["sampling"] == {"num_steps": 3, "cfg_scale": 4.0, "temperature": 8.0}
    distances = settings["selection"]["distances"]
    assert settings["selection"]["by"] == "scav" and settings["sample"] == distances.index(min(distances))
    assert abs(media.read_audio(made / "clip0.mp4", 16000).shape[1] - 24000) <= 16
    assert cli.main([*generate, str(run / "model.safetensors"), "--overwrite"]) == 2
