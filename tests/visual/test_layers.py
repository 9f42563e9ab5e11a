"""Layers of an image tower as features of a frame."""

import numpy as np
import pytest
import torch

from vab.features.makers import VisualMaker
from vab.visual import LayeredEncoder, VisualEncoder, load_encoder, load_visual
from vab.visual.layers import GRID
from vab.visual.open_clip import IMAGES_PER_BATCH, OpenClipEncoder, build_open_clip
from vab.visual.preprocess import Preprocess

TIMM = {
    "embed_dim": 32,
    "vision_cfg": {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 224,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def timm() -> LayeredEncoder:
    torch.manual_seed(0)
    return LayeredEncoder(OpenClipEncoder(build_open_clip(TIMM), TIMM, Preprocess()))


def frames(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 40, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["tiny-clip", "timm"])
def encoder(request: pytest.FixtureRequest) -> VisualEncoder:
    return timm() if request.param == "timm" else load_visual("layers:tiny-clip")


def test_protocol_and_shape(encoder: LayeredEncoder) -> None:
    assert isinstance(encoder, VisualEncoder)
    count = 2 if encoder.image_size > 32 else IMAGES_PER_BATCH + 1
    features = encoder.encode_frames(encoder.preprocess(frames(count)))
    assert features.shape == (count, *encoder.feature_shape)
    assert encoder.feature_shape[0] == len(encoder.layers) * (1 + GRID**2)
    assert features.isfinite().all() and not features.requires_grad
    torch.testing.assert_close(
        encoder.encode_frames(encoder.preprocess(frames(1))), features[:1], atol=1e-4, rtol=1e-4
    )
    assert encoder.encode_frames(encoder.preprocess(frames(1))[:0]).shape == (0, *encoder.feature_shape)


def test_twelve_layers_give_the_paper_s_three() -> None:
    assert timm().layers == [4, 8, 11]
    assert load_visual("layers:demo-clip").layers == [2, 4, 5]  # type: ignore[attr-defined]


def test_the_last_class_token_is_what_the_tower_projects() -> None:
    tower = load_encoder("tiny-clip")
    layered = LayeredEncoder(tower)
    images = tower.preprocess(frames(3))
    last = layered.encode_frames(images)[:, -1 - GRID**2]
    visual = tower.model.visual
    torch.testing.assert_close(visual.ln_post(last) @ visual.proj, tower.encode_frames(images))


def test_cells_stand_where_they_are_in_the_frame() -> None:
    encoder = load_visual("layers:tiny-clip")
    images = torch.zeros(1, 3, 32, 32)
    changed = images.clone()
    changed[:, :, :16, 16:] = 1.0  # upper right, one of the tower's four patches
    difference = (encoder.encode_frames(changed) - encoder.encode_frames(images)).abs().amax(dim=2)[0]
    assert difference[1:5].argmax() == 1


def test_other_names_are_encoders_as_before_and_layers_are_a_stream() -> None:
    assert isinstance(load_visual("tiny-clip"), OpenClipEncoder)
    encoder = load_visual("layers:tiny-clip")
    assert encoder.name == "layers:tiny-clip"
    stream = VisualMaker(encoder, 5.0).describe("clip-layers")
    assert (stream.kind, stream.shape, stream.rate) == ("latents", encoder.feature_shape, 5.0)
