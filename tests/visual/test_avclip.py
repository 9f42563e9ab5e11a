"""Segment AVCLIP as an encoder: from every published layout, what Synchformer sees, in whole segments."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from toy_synchformer import PATCH, SIDE, WIDTH, synchformer_state

from vab.errors import WeightsError
from vab.features.makers import VisualMaker
from vab.metrics.synchformer import Synchformer
from vab.visual import VisualEncoder, load_visual
from vab.visual.avclip import AvclipEncoder, load_avclip

TOWER = "vfeat_extractor."


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return synchformer_state()


@pytest.fixture(scope="module")
def encoder(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> AvclipEncoder:
    path = tmp_path_factory.mktemp("avclip") / "synchformer_state_dict.pth"
    torch.save(state, path)
    return load_avclip(path)


def frames(number: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


def test_it_is_a_visual_encoder_of_its_own_rate(encoder: AvclipEncoder) -> None:
    assert isinstance(encoder, VisualEncoder)
    stream = VisualMaker(encoder, 25.0).describe("avclip")
    assert (stream.rate, stream.shape, stream.kind) == (12.5, (WIDTH,), "vectors")
    images = encoder.preprocess(frames(32))
    assert images.shape == (32, 3, PATCH * SIDE, PATCH * SIDE)
    assert encoder.image_size == round(PATCH * SIDE * 256 / 224)
    features = encoder.encode_frames(images)
    assert features.shape == (16, WIDTH) and not features.requires_grad
    torch.testing.assert_close(encoder.encode_frames(images[16:]), features[8:], atol=1e-5, rtol=1e-4)
    assert encoder.encode_frames(images[:0]).shape == (0, WIDTH)


def test_the_metric_and_the_stream_are_one_network(
    encoder: AvclipEncoder, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "synchformer_state_dict.pth")
    network = Synchformer(tmp_path / "synchformer_state_dict.pth")._network
    images = encoder.preprocess(frames(16))
    seen = network.see(images.transpose(0, 1)[None])
    torch.testing.assert_close(network.vproj(encoder.encode_frames(images)), seen[0])


@pytest.mark.parametrize("layout", ["module.v_encoder.", "v_encoder.", "own"])
def test_every_layout_of_weights_is_read(
    encoder: AvclipEncoder, state: dict[str, torch.Tensor], tmp_path: Path, layout: str
) -> None:
    tower = {key.removeprefix(TOWER): value for key, value in state.items() if key.startswith(TOWER)}
    if layout == "own":
        path = tmp_path / "avclip.safetensors"
        save_file(tower, path)
        loaded = load_visual(str(path))
    else:
        path = tmp_path / "epoch_best.pt"
        content = {f"{layout}{key}": value for key, value in tower.items()}
        torch.save({"epoch": 3, "state_dict": {**content, "module.a_encoder.x": torch.zeros(1)}}, path)
        loaded = load_visual("avclip", weights=str(path))
    assert loaded.fingerprint == encoder.fingerprint and loaded.name == "avclip"


def test_another_file_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: holds no Segment AVCLIP"):
        load_avclip(tmp_path / "other.pt")
    (tmp_path / "avclip.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"avclip\.safetensors: not a safetensors file"):
        load_visual(str(tmp_path / "avclip.safetensors"))
