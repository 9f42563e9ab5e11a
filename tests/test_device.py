"""A network in the arithmetic that was asked for."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import tiny_config, write_tiny_model

import vab
from vab.device import on_device
from vab.errors import ConfigError
from vab.models.vab.model import VAB

NEEDS_BFLOAT16 = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    reason="oneDNN has no bfloat16 on this CPU",
)


def test_8_bit_products_are_near_the_exact_ones() -> None:
    torch.manual_seed(0)
    config = tiny_config()
    model = VAB(config).eval()
    codes = torch.randint(0, config.codebook_size, (2, config.num_codebooks, 50))
    frames = torch.randn(2, 5, config.visual_dim)
    with torch.no_grad():
        exact = model(codes, frames)
        near = on_device(model, "cpu", "int8")(codes, frames)
    error = (near - exact).pow(2).mean().sqrt() / exact.std()
    assert 0 < error < 0.1


@pytest.mark.parametrize("has_bias", [True, False])
def test_8_bit_products_are_those_of_dynamic_quantisation(
    has_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = torch.backends.quantized.engine
    monkeypatch.setattr(torch.backends.quantized, "engine", "onednn")
    torch.manual_seed(0)
    blocks = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(48, 33, bias=has_bias))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = torch.ao.quantization.quantize_dynamic(
            blocks, {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
        )
    monkeypatch.undo()
    model = torch.nn.Module()
    model.blocks = blocks
    on_device(model, "cpu", "int8")
    assert torch.backends.quantized.engine == default
    x = torch.randn(2, 7, 48)
    assert torch.equal(blocks[0](x), expected[0](x))


@NEEDS_BFLOAT16
@pytest.mark.parametrize("has_bias", [True, False])
def test_packed_products_are_those_of_bfloat16(has_bias: bool) -> None:
    layer, block = _packed(has_bias)
    x = torch.randn(300, 2, 48, dtype=torch.bfloat16)
    for rows in (x, x[:, 1:], x[:1], x[:0]):
        torch.testing.assert_close(block(rows), layer(rows).relu(), rtol=0.016, atol=1e-3)


@NEEDS_BFLOAT16
def test_packed_products_stay_out_of_what_is_compiled() -> None:
    seen: list[str] = []

    def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., object]:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    _, block = _packed(has_bias=True)
    block.compile(backend=keep)
    block(torch.randn(2, 48, dtype=torch.bfloat16))
    assert "relu" in seen
    assert not any("mkldnn" in name for name in seen)


class Block(torch.nn.Module):
    """A layer and something after it."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.layer: torch.nn.Module = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any sizes."""
        product: torch.Tensor = self.layer(x)
        return product.relu()


def _packed(has_bias: bool) -> tuple[torch.nn.Linear, Block]:
    """A layer in bfloat16, and a block that has it packed."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(48, 33, bias=has_bias)
    block = Block(layer)
    model = torch.nn.Module()
    model.blocks = torch.nn.ModuleList([block])
    on_device(model, "cpu", "bfloat16")
    assert type(block.layer) is not torch.nn.Linear
    return layer, block


def test_a_whole_system_generates_in_8_bits(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.safetensors")
    exact, near = (vab.load(path, device="cpu", dtype=dtype).model for dtype in ("float32", "int8"))
    assert type(exact.blocks[0].attention.qkv) is torch.nn.Linear
    assert type(near.blocks[0].attention.qkv) is not torch.nn.Linear
    frames = torch.randn(1, 5, exact.config.visual_dim)
    [sound] = vab.load(path, device="cpu", dtype="int8").generator.generate(
        [{"clip": frames[0]}], [1.0], options=vab.load(path).sampling_options(), seeds=[0], batch_size=1
    )
    assert torch.cat(list(sound.pieces()), dim=1).isfinite().all()


@pytest.mark.parametrize(
    ("model", "device", "dtype", "told"),
    [
        (torch.nn.Linear(2, 2), "cpu", "int8", "int8 is for transformers on a CPU"),
        (torch.nn.Linear(2, 2), "cpu", "float64", "no dtype 'float64'; there are: auto, float32"),
    ],
)
def test_what_cannot_be_is_refused(model: torch.nn.Module, device: str, dtype: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        on_device(model, device, dtype)
