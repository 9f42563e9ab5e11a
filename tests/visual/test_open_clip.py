"""Encoders by name, file and folder, against open_clip's own way of loading them."""

from __future__ import annotations

import copy
import json
import logging
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from vab import checkpoint, weights
from vab.errors import ConfigError, WeightsError
from vab.visual import OpenClipEncoder, build_open_clip, load_encoder, save_encoder
from vab.visual.loading import TINY_CLIP
from vab.visual.open_clip import stock_config, stock_preprocess

NORMALISATION = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return load_encoder("tiny-clip")


@pytest.fixture
def folder(tmp_path: Path, encoder: OpenClipEncoder) -> Path:
    """What open_clip's ``local-dir:`` wants, and its parts in other layouts."""
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": TINY_CLIP, "preprocess_cfg": NORMALISATION})
    )
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_CLIP))
    save_file(encoder.model.state_dict(), tmp_path / "open_clip_model.safetensors")
    torch.save(encoder.model.state_dict(), tmp_path / "plain.pt")
    torch.save({"state_dict": encoder.model.state_dict(), "epoch": 3}, tmp_path / "training.pt")
    return tmp_path


def frames(number: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 40, 60, 3), dtype=np.uint8)


def test_equals_open_clip(folder: Path) -> None:
    name = f"local-dir:{folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    ours = load_encoder(name)
    images = ours.preprocess(frames())
    with torch.no_grad():
        # Equal up to how the two copies of the weights lie in memory.
        torch.testing.assert_close(ours.encode_frames(images), model.eval().encode_image(images))
        tokens = open_clip.get_tokenizer(name)(["a dog barks", "rain"])
        torch.testing.assert_close(ours.encode_text(["a dog barks", "rain"]), model.encode_text(tokens))
    normalise = transform.transforms[-1]
    assert (list(normalise.mean), list(normalise.std)) == (NORMALISATION["mean"], NORMALISATION["std"])
    assert (ours.transform.mean, ours.transform.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert ours.image_size == 32


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "plain.pt", "training.pt"])
def test_config_file_and_weights(folder: Path, encoder: OpenClipEncoder, file: str) -> None:
    ours = load_encoder(str(folder / "tiny.json"), weights=folder / file)
    assert ours.name == "tiny"
    assert ours.fingerprint == encoder.fingerprint
    assert not any(parameter.requires_grad for parameter in ours.parameters())
    assert not ours.training


def test_weights_are_never_random_unasked(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WeightsError, match="a configuration alone has no weights"):
        load_encoder(str(folder / "tiny.json"))
    with pytest.raises(WeightsError, match=r"no default weights; .* one of open_clip's own: .*laion2b"):
        load_encoder("ViT-B-32")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="no weights in it"):
        load_encoder(f"local-dir:{folder}")
    with caplog.at_level(logging.WARNING):
        load_encoder(f"local-dir:{folder}", weights="random")
    assert not caplog.records


def test_other_models_weights_are_refused(folder: Path) -> None:
    wide = copy.deepcopy(dict(TINY_CLIP)) | {"embed_dim": 64}
    (folder / "wide.json").write_text(json.dumps(wide))
    with pytest.raises(WeightsError, match=r"plain\.pt: not weights of this model \([^\n]*$"):
        load_encoder(str(folder / "wide.json"), weights=folder / "plain.pt")
    (folder / "bad.safetensors").write_bytes(b"bad")
    with pytest.raises(WeightsError, match=r"bad\.safetensors: [^\n]*$"):
        load_encoder(str(folder / "tiny.json"), weights=folder / "bad.safetensors")
    with pytest.raises(WeightsError, match="weights of kind 'codec'"):
        load_encoder("EVA02-L-14", weights="dac-16khz")


def test_bad_names_and_configurations(folder: Path) -> None:
    for name in ("no-such-model", "hf-hub:a/b"):
        with pytest.raises(WeightsError, match=f"{name}: not an open_clip model"):
            load_encoder(name)
    for content in ("{", "[]", '{"embed_dim": 3}'):
        (folder / "bad.json").write_text(content)
        with pytest.raises(WeightsError, match=r"bad\.json: not "):
            load_encoder(str(folder / "bad.json"), weights="random")
    with pytest.raises(WeightsError, match="not a readable JSON"):
        load_encoder("local-dir:/no/such/folder")
    with pytest.raises(ConfigError, match="open_clip cannot build this model"):
        build_open_clip({**TINY_CLIP, "vision_cfg": {"unheard_of": 1}})


def test_absent_default_weights_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAB_CACHE", str(tmp_path))
    unreachable = weights.WeightsEntry("eva02-l-14", "encoder", "http://127.0.0.1:1/eva.safetensors", "MIT")
    monkeypatch.setattr(weights, "_ENTRIES", (unreachable,))
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(WeightsError, match=r"eva02-l-14: .*place it at .*eva02-l-14\.safetensors"):
        load_encoder("EVA02-L-14")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_own_format(tmp_path: Path, encoder: OpenClipEncoder, dtype: torch.dtype) -> None:
    path = tmp_path / "mine.safetensors"
    save_encoder(encoder, path, {"trained_on": "nothing"}, dtype=dtype)
    ours = load_encoder(str(path))
    assert (ours.name, ours.config, ours.transform) == ("mine", encoder.config, encoder.transform)
    images = ours.preprocess(frames())
    exact = encoder.encode_frames(images)
    assert torch.allclose(ours.encode_frames(images), exact, atol=0 if dtype == torch.float32 else 0.02)
    assert checkpoint.load_tensors(path)[1]["provenance"] == {"trained_on": "nothing"}
    with pytest.raises(WeightsError, match="stands for its weights already"):
        load_encoder(str(path), weights="random")
    header = {"format": "encoder", "version": 1, "type": "open_clip", "config": {}, "preprocess": {}}
    checkpoint.save_tensors(path, {"a": torch.ones(1)}, header)
    with pytest.raises(WeightsError, match="describes no network"):
        load_encoder(str(path))


def test_bundled_encoder_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder
) -> None:
    monkeypatch.setattr(weights, "_BUNDLED", tmp_path)
    with pytest.raises(WeightsError, match="lacks the bundled file"):
        load_encoder("demo-clip")
    save_encoder(encoder, tmp_path / "demo-clip.safetensors")
    assert load_encoder("demo-clip").name == "demo-clip"


def test_model_can_be_trained() -> None:
    model = build_open_clip(TINY_CLIP)
    assert model.training
    image, text, _ = model(torch.randn(2, 3, 32, 32), torch.zeros(2, 16, dtype=torch.int64))
    (image * text).sum().backward()
    assert TINY_CLIP["vision_cfg"]["width"] == 32  # the configuration is not written to


def test_reduced_precision_is_close_and_float32(encoder: OpenClipEncoder) -> None:
    images = encoder.preprocess(frames())
    reduced = load_encoder("tiny-clip", dtype=torch.bfloat16)
    features = reduced.encode_frames(images)
    assert features.dtype == torch.float32
    assert not torch.equal(features, encoder.encode_frames(images))
    assert torch.cosine_similarity(features, encoder.encode_frames(images)).min() > 0.99
    assert reduced.fingerprint == encoder.fingerprint


def test_published_normalisation_goes_with_the_name() -> None:
    assert stock_preprocess("ViT-B-16-SigLIP")["mean"] == (0.5, 0.5, 0.5)
    assert stock_preprocess("ViT-B-16-SigLIP")["resize_mode"] == "squash"
    assert stock_preprocess("EVA02-L-14", "merged2b_s4b_b131k").get("resize_mode") != "squash"
    config = stock_config("EVA02-L-14")
    assert config is not None
    assert config["embed_dim"] == 768


def test_tokenizer_of_a_hub_that_is_out_of_reach(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    text = {**TINY_CLIP["text_cfg"], "hf_tokenizer_name": "some/tokenizer"}
    (folder / "hub.json").write_text(json.dumps({**TINY_CLIP, "text_cfg": text}))
    encoder = load_encoder(str(folder / "hub.json"), weights="random")
    assert encoder.encode_frames(encoder.preprocess(frames())).shape == (3, 32)
    with pytest.raises(WeightsError, match="hub: its tokenizer 'some/tokenizer' is not at hand"):
        encoder.encode_text(["a"])


@pytest.mark.slow
def test_paper_size() -> None:
    encoder = load_encoder("EVA02-L-14", weights="random", dtype=torch.bfloat16)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == pytest.approx(427.8e6, rel=1e-3)
    assert (encoder.embed_dim, encoder.image_size) == (768, 224)
    assert encoder.encode_frames(encoder.preprocess(frames(2))).shape == (2, 768)
