"""What every visual encoder promises (``vab/visual/base.py``), at toy size: add yours to ENCODERS."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vab.visual import TextEncoder, VisualEncoder, load_encoder, save_encoder
from vab.visual.open_clip import IMAGES_PER_BATCH


def reloaded(folder: Path) -> VisualEncoder:
    save_encoder(load_encoder("tiny-clip"), folder / "own.safetensors")
    return load_encoder(str(folder / "own.safetensors"))


ENCODERS: dict[str, Callable[[Path], VisualEncoder]] = {
    "tiny-clip": lambda folder: load_encoder("tiny-clip"),
    "own file": reloaded,
    "bfloat16": lambda folder: load_encoder("tiny-clip", dtype=torch.bfloat16),
}


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VisualEncoder:
    return ENCODERS[request.param](tmp_path_factory.mktemp("encoder"))


def frames(number: int, height: int = 36, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


def test_protocol(encoder: VisualEncoder) -> None:
    assert isinstance(encoder, VisualEncoder)
    assert isinstance(encoder, TextEncoder)
    assert encoder.feature_shape == (encoder.embed_dim,)
    assert encoder.fps is None and encoder.frames_per_chunk == encoder.features_per_chunk == 1
    assert len(encoder.fingerprint) == 16
    assert int(encoder.fingerprint, 16) >= 0


@pytest.mark.parametrize("size", [(1, 1), (36, 64), (100, 3), (200, 300)])
def test_any_size_of_picture(encoder: VisualEncoder, size: tuple[int, int]) -> None:
    images = encoder.preprocess(frames(2, *size))
    assert images.shape == (2, 3, encoder.image_size, encoder.image_size)
    assert images.dtype == torch.float32
    features = encoder.encode_frames(images)
    assert features.shape == (2, encoder.embed_dim)
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()


def test_batches_of_any_length(encoder: VisualEncoder) -> None:
    images = encoder.preprocess(frames(IMAGES_PER_BATCH + 3))
    together = encoder.encode_frames(images)
    apart = torch.cat([encoder.encode_frames(image[None]) for image in images])
    torch.testing.assert_close(together, apart, atol=0.02, rtol=0.02)
    assert encoder.encode_frames(images[:0]).shape == (0, encoder.embed_dim)


def test_pictures_of_another_size_are_refused(encoder: VisualEncoder) -> None:
    with pytest.raises(ValueError, match="frames must be"):
        encoder.encode_frames(torch.zeros(1, 3, encoder.image_size + 1, encoder.image_size + 1))


def test_text(encoder: VisualEncoder) -> None:
    features = encoder.encode_text(["a dog barks", "", "rain " * 200])
    assert features.shape == (3, encoder.embed_dim)
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()
    assert not torch.allclose(features[0], features[1])
    assert encoder.encode_text([]).shape == (0, encoder.embed_dim)


def test_no_gradients_and_no_inference_tensors(encoder: VisualEncoder) -> None:
    features = encoder.encode_frames(encoder.preprocess(frames(1)))
    assert not features.requires_grad
    layer = torch.nn.Linear(encoder.embed_dim, 2)
    layer(features).sum().backward()
    assert layer.weight.grad is not None


def test_deterministic_also_as_a_copy(encoder: VisualEncoder) -> None:
    images = encoder.preprocess(frames(2))
    assert torch.equal(encoder.encode_frames(images), copy.deepcopy(encoder).encode_frames(images))
