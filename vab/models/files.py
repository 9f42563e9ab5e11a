"""A model's weights file: one safetensors with, in its header, all that is needed to use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vab.config import from_dict, to_dict
from vab.decoding.options import DecodingOptions
from vab.errors import WeightsError
from vab.models import find_model
from vab.weights import load_tensors, save_tensors

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Component:
    """The codec or encoder that a model was trained with."""

    name: str
    """What ``load_codec`` or ``load_encoder`` takes; a file of this stem beside the model's own comes first."""
    fingerprint: str
    """Of its configuration and weights: another one is refused."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is, what it goes with, how it likes to be decoded, where it came from."""

    type: str
    """Folder under ``vab/models``."""
    config: dict[str, Any]
    """The network's configuration."""
    codec: Component
    encoder: Component
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    window_seconds: float = 10.0
    """Length the model was trained on; longer videos are done in windows of this length."""
    overlap_seconds: float = 2.0
    """Sound that a window takes over from the one before."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Data, command, date, hardware, licence, measured quality."""


def save_model(path: Path, model: nn.Module, card: ModelCard, *, dtype: torch.dtype = torch.float32) -> None:
    """Write weights and card, atomically; ``dtype`` float16 halves the file."""
    tensors = {name: value.detach().cpu().to(dtype) for name, value in model.state_dict().items()}
    save_tensors(path, tensors, {"format": "model", "version": FORMAT_VERSION, **to_dict(card)})


def load_model(path: Path) -> tuple[nn.Module, ModelCard]:
    """The network, in evaluation mode and float32 on the CPU, and its card.

    Raises:
        WeightsError: the file is damaged, of another kind or version, or does not fit its own configuration.
    """
    tensors, header = load_tensors(path)
    if header.get("format") != "model":
        raise WeightsError(f"{path} does not hold a model but {header.get('format') or 'something else'}")
    if header.get("version") != FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format version {header.get('version')}, this package reads {FORMAT_VERSION}; upgrade vab"
        )
    fields = {key: value for key, value in header.items() if key not in ("format", "version")}
    card = from_dict(ModelCard, fields, source=str(path))
    config_class, model_class = find_model(card.type)
    model = model_class(from_dict(config_class, card.config, source=str(path)))
    try:
        model.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path}: weights do not fit their configuration: {' '.join(str(error).split())}"
        ) from error
    return model.eval().requires_grad_(False), card
