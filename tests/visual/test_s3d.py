"""S3D: features at its own rate, the names in SparseSync's file, and a file of our own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vab.errors import WeightsError
from vab.features.makers import VisualMaker
from vab.shapes import Tensor
from vab.visual import load_visual, save_encoder
from vab.visual.base import VisualEncoder
from vab.visual.s3d import S3D, S3DConfig, S3DEncoder, load_s3d, published_state

SMALL = S3DConfig((4, 6), feature_dim=5, fps=10.0, frames_per_chunk=20, resized=20, cropped=16)


def _encoder() -> S3DEncoder:
    torch.manual_seed(0)
    return S3DEncoder(S3D(SMALL), name="small")


def _frames(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 24, 32, 3), dtype=np.uint8)


def test_chunks_of_frames_become_features_each_by_itself() -> None:
    encoder = _encoder()
    assert isinstance(encoder, VisualEncoder)
    images = encoder.preprocess(_frames(40))
    features = encoder.encode_frames(images)
    assert images.shape == (40, 3, 20, 20) and features.shape == (40, 5)
    torch.testing.assert_close(encoder.encode_frames(images[20:]), features[20:])
    later = images.clone()
    later[30] += 1
    is_changed = (encoder.encode_frames(later) != features).any(1).nonzero().flatten()
    assert is_changed.tolist() == list(range(26, 35))  # two temporal kernels of five
    outside = images.clone()
    outside[:, :, 0] += 1
    assert torch.equal(encoder.encode_frames(outside), features)
    with pytest.raises(ValueError, match="multiple of 20"):
        encoder.encode_frames(images[:7])


def test_a_stream_has_its_rate_and_repeats_the_last_feature() -> None:
    maker = VisualMaker(_encoder(), 10.0)
    info = maker.describe("sync")
    assert (info.rate, info.shape, info.kind) == (10.0, (5,), "vectors")
    made, lengths = maker.encode([maker.prepare(_frames(25))], 4.0)
    assert made.shape == (1, 40, 5) and lengths.tolist() == [25]
    assert torch.equal(made[0, 24], made[0, 39])


def test_a_file_of_our_own_is_read_again(tmp_path: Path) -> None:
    encoder = _encoder()
    save_encoder(encoder, tmp_path / "small.safetensors", dtype=torch.float32)
    again = load_visual(str(tmp_path / "small.safetensors"))
    assert again.fingerprint == encoder.fingerprint
    images = encoder.preprocess(_frames(20))
    assert torch.equal(again.encode_frames(images), encoder.encode_frames(images))


def _published() -> dict[str, Tensor]:
    """Tensors with the names and shapes of SparseSync's checkpoint, from the layers of its source."""
    state: dict[str, Tensor] = {}

    def norm(name: str, width: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{key}"] = torch.rand(width) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    def basic(name: str, before: int, after: int) -> None:
        state[f"{name}.conv.weight"] = 0.1 * torch.randn(after, before, 1, 1, 1)
        norm(f"{name}.bn", after)

    def separable(name: str, before: int, after: int, kernel: int = 3) -> None:
        state[f"{name}.conv_s.weight"] = 0.1 * torch.randn(after, before, 1, kernel, kernel)
        state[f"{name}.conv_t.weight"] = 0.1 * torch.randn(after, after, kernel, 1, 1)
        norm(f"{name}.bn_s", after)
        norm(f"{name}.bn_t", after)

    base = "vfeat_extractor.base"
    separable(f"{base}.0", 3, 64, 7)
    basic(f"{base}.2", 64, 64)
    separable(f"{base}.3", 64, 192)
    before = 192
    for place, (b0, m1, b1, m2, b2, b3) in {
        5: (64, 96, 128, 16, 32, 32),
        6: (128, 128, 192, 32, 96, 64),
        8: (192, 96, 208, 16, 48, 64),
        9: (160, 112, 224, 24, 64, 64),
        10: (128, 128, 256, 24, 64, 64),
        11: (112, 144, 288, 32, 64, 64),
        12: (256, 160, 320, 32, 128, 128),
        14: (256, 160, 320, 32, 128, 128),
        15: (384, 192, 384, 48, 128, 128),
    }.items():
        name = f"{base}.{place}.branch"
        basic(f"{name}0.0", before, b0)
        basic(f"{name}1.0", before, m1)
        separable(f"{name}1.1", m1, b1)
        basic(f"{name}2.0", before, m2)
        separable(f"{name}2.1", m2, b2)
        basic(f"{name}3.1", before, b3)
        before = b0 + b1 + b2 + b3
    state["v_bridge.bridge.0.weight"] = 0.1 * torch.randn(512, 1024, 1, 1, 1)
    state["v_bridge.bridge.0.bias"] = torch.zeros(512)
    state["afeat_extractor.conv1.weight"] = torch.zeros(64, 1, 7, 7)
    state["transformer.OFF_tok"] = torch.zeros(1, 1, 512)
    return state


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_the_published_file_is_read_under_torchvisions_names(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    state, path = _published(), tmp_path / f"sparsesync.{suffix}"
    if suffix == "pt":
        torch.save({"model": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, path)
    else:
        save_file(state, path)
    encoder = load_visual("s3d", weights=path)
    assert isinstance(encoder, S3DEncoder)
    beside = load_visual(str(path.rename(tmp_path / f"s3d.{suffix}")))
    assert beside.fingerprint == encoder.fingerprint
    assert (encoder.feature_shape, encoder.fps) == ((512,), 25.0)
    assert (encoder.frames_per_chunk, encoder.features_per_chunk) == (128, 16)
    own = encoder.model.state_dict()
    assert torch.equal(
        own["features.15.branch1.1.1.0.weight"], state["vfeat_extractor.base.15.branch1.1.conv_t.weight"]
    )
    assert torch.equal(own["features.5.branch0.1.bias"], state["vfeat_extractor.base.5.branch0.0.bn.bias"])
    assert torch.equal(own["bridge.0.weight"], state["v_bridge.bridge.0.weight"])


def test_other_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="give the file of SparseSync"):
        load_s3d("s3d")
    torch.save({"args": object(), "model": {}}, tmp_path / "whole.pt")
    with pytest.raises(WeightsError, match="'model' alone as safetensors"):
        published_state(tmp_path / "whole.pt")
    torch.save({"model": {"conv.weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="no 'vfeat_extractor'"):
        published_state(tmp_path / "other.pt")


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        S3DConfig(frames_per_chunk=100)
    with pytest.raises(ValueError, match="cropped"):
        S3DConfig(resized=100, cropped=200)
