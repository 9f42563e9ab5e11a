"""BEATs: the authors' file at toy size, its parts against other formulations, and a stream of its features."""

from pathlib import Path

import pytest
import torch
from torch import nn

from vab.audio.beats import load_beats, relative_buckets
from vab.errors import ConfigError, WeightsError
from vab.features.makers import load_maker
from vab.shapes import Tensor

WIDTH, HEADS, LAYERS = 16, 2, 2


def _state() -> dict[str, Tensor]:
    """Tensors with the names of the authors' file."""
    torch.manual_seed(0)
    state = {"patch_embedding.weight": torch.randn(8, 1, 16, 16) / 16}
    shared = torch.randn(32, HEADS)

    def linear(name: str, before: int, after: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            torch.randn(after, before) / before**0.5,
            torch.randn(after),
        )

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.rand(width) + 0.5, torch.randn(width)

    norm("layer_norm", 8)
    linear("post_extract_proj", 8, WIDTH)
    state["encoder.pos_conv.0.weight_v"] = torch.randn(WIDTH, WIDTH // 4, 6)
    state["encoder.pos_conv.0.weight_g"] = torch.rand(1, 1, 6)
    state["encoder.pos_conv.0.bias"] = torch.randn(WIDTH)
    norm("encoder.layer_norm", WIDTH)
    for layer in range(LAYERS):
        name = f"encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{name}.self_attn.{part}", WIDTH, WIDTH)
        linear(f"{name}.self_attn.grep_linear", WIDTH // HEADS, 8)
        state[f"{name}.self_attn.grep_a"] = torch.rand(1, HEADS, 1, 1)
        state[f"{name}.self_attn.relative_attention_bias.weight"] = shared
        norm(f"{name}.self_attn_layer_norm", WIDTH)
        linear(f"{name}.fc1", WIDTH, 24)
        linear(f"{name}.fc2", 24, WIDTH)
        norm(f"{name}.final_layer_norm", WIDTH)
    linear("predictor", WIDTH, 527)
    return state


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "BEATs_tiny.pt"
    torch.save({"cfg": {"max_distance": 40, "deep_norm": True}, "model": _state()}, path)
    return path


def test_the_file_gives_one_feature_for_sixteen_hundredths_of_a_second(file: Path) -> None:
    encoder = load_beats(file)
    assert (encoder.rate, encoder.feature_dim, encoder.name) == (6.25, WIDTH, "BEATs_tiny")
    sound = 0.1 * torch.randn(2, 1, 16_000, generator=torch.Generator().manual_seed(1))
    features = encoder.encode(sound)
    assert features.shape == (2, 7, WIDTH) and features.isfinite().all()
    torch.testing.assert_close(encoder.encode(sound[1:]), features[1:])
    assert not torch.allclose(features[0], features[1])


def test_the_convolutions_weight_is_that_of_weight_norm(file: Path) -> None:
    state = _state()
    plain = nn.Conv1d(WIDTH, WIDTH, 6, padding=3, groups=4)
    normed = nn.utils.parametrizations.weight_norm(plain, dim=2)
    normed.parametrizations.weight.original0.data = state["encoder.pos_conv.0.weight_g"]
    normed.parametrizations.weight.original1.data = state["encoder.pos_conv.0.weight_v"]
    own = load_beats(file).network.state_dict()["encoder.pos_conv.0.weight"]
    torch.testing.assert_close(own, normed.weight)


def test_buckets_are_exact_near_and_logarithmic_far_one_half_for_either_side() -> None:
    distance = torch.arange(-50, 51)[None]
    buckets = relative_buckets(distance, 32, 40)[0].tolist()
    near = {place - 50: bucket for place, bucket in enumerate(buckets)}
    assert [near[step] for step in range(-7, 1)] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert [near[step] for step in (1, 7)] == [17, 23]
    assert near[50] == 31 and near[-50] == 15
    assert 23 < near[12] < near[30] <= 31


def test_it_is_a_stream_that_is_added_by_name(file: Path) -> None:
    maker = load_maker("beats", "cpu", weights=str(file))
    info = maker.describe("beats")
    assert (info.kind, info.source, info.rate, info.shape) == ("vectors", "audio", 6.25, (WIDTH,))
    sound = maker.prepare(torch.randn(1, 8_000).numpy())
    features, lengths = maker.encode([sound], 1.0)
    assert features.shape == (1, info.num_steps(1.0), WIDTH) and lengths.tolist() == [4]
    with pytest.raises(ConfigError, match="weights"):
        load_maker("beats", "cpu")


def test_another_file_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="holds no BEATs"):
        load_beats(tmp_path / "other.pt")
