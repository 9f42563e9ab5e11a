"""Which device ``auto`` stands for, and a network on it in the arithmetic that was asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from vab.errors import ConfigError
from vab.shapes import Tensor

DTYPES = ("auto", "float32", "bfloat16", "int8")
"""Arithmetics: ``auto`` is bfloat16 on a GPU and float32 on a CPU; ``int8`` is 8-bit matrix products, on a CPU."""


def choose_device(name: str) -> str:
    """``auto`` as a GPU where there is one, else the CPU; any other name as it is."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def compile_blocks(network: nn.Module) -> None:
    """Have the layers of all ``blocks`` in a network compiled when they first run, in place.

    Raises:
        ConfigError: there are none.
    """
    found = [
        layer
        for module in network.modules()
        if isinstance(blocks := getattr(module, "blocks", None), nn.ModuleList)
        for layer in blocks
    ]
    if not found:
        raise ConfigError(f"a {type(network).__name__} has no blocks to compile")
    for layer in found:
        layer.compile()


def on_device(model: nn.Module, device: str, dtype: str) -> nn.Module:
    """The network itself, on a device.

    8-bit products take the weights of its ``blocks`` rounded a row, and activations rounded by the range of the whole
    batch, on which a clip's result then depends; all else stays float32. In 8 bits, and in bfloat16 on a CPU, blocks
    can only be run: their weights are no longer in the network's state.

    Raises:
        ConfigError: no such ``dtype``, or 8-bit products on a GPU or of a network without ``blocks``.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"no dtype {dtype!r}; there are: {', '.join(DTYPES)}")
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    blocks: nn.Module | None = getattr(model, "blocks", None)
    if dtype == "int8":
        if device != "cpu" or blocks is None:
            raise ConfigError("int8 is for transformers on a CPU; give bfloat16 or float32 here")
        _replace_linear(blocks, _Int8Linear)
        return model
    model.to(device, getattr(torch, dtype))
    if blocks is not None and device == "cpu" and dtype == "bfloat16" and _packs_bfloat16():
        _replace_linear(blocks, _PackedLinear)
    return model


def _replace_linear(blocks: nn.Module, made_of: Callable[[nn.Linear], nn.Module]) -> None:
    for parent in list(blocks.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Linear:
                setattr(parent, name, made_of(layer))


def _packs_bfloat16() -> bool:
    supported: bool = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported


class _PackedLinear(nn.Module):
    """The products of a bfloat16 layer, its weights in oneDNN's own layout, as ``torch.compile`` freezes them.

    Otherwise each call brings them into it: a quarter of a large product's time, half of that of one row.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = None if linear.bias is None else linear.bias.detach()

    @torch.compiler.disable()  # it cannot take a weight in another layout than its own
    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return product


class _Int8Linear(nn.Module):
    """What the deprecated ``torch.ao.quantization.quantize_dynamic`` makes of one, on the operators behind it.

    By oneDNN, which has the matrix units of newer CPUs: half the time of PyTorch's default there.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scales = (weight.abs().amax(dim=1) / 127.5).clamp_min(torch.finfo(torch.float32).eps)
        zeros = torch.zeros_like(scales, dtype=torch.int64)
        rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        backend = torch.backends.quantized
        default = backend.engine
        if "onednn" in backend.supported_engines:
            backend.engine = "onednn"
        try:
            self.packed = torch.ops.quantized.linear_prepack(rounded, linear.bias)
        finally:
            backend.engine = default

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_dynamic(x, self.packed, reduce_range=True)
        return product
