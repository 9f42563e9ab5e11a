"""A model's weights file: one safetensors with, in its header, all that is needed to use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vab.checkpoint import load_state, load_tensors, save_tensors, sha256_of
from vab.config import from_dict, to_dict
from vab.decoding.options import DecodingOptions
from vab.errors import StoreError
from vab.features.store import FeatureStore
from vab.models import find_model

FORMAT = "model"


@dataclass(frozen=True)
class Component:
    """The codec or encoder that a model was trained with, or the refiner that goes with it."""

    name: str
    """What loads it by name; a file of this stem beside the model's own comes first."""
    fingerprint: str
    """Of its configuration and weights, of a refiner's file: another one is refused."""

    @classmethod
    def of_file(cls, path: Path) -> Component:
        """A file of weights: its stem, and the first 16 hex digits of its SHA-256."""
        return cls(path.stem, sha256_of(path)[:16])


@dataclass(frozen=True)
class ModelCard:
    """What a model is, what it goes with, how it likes to be decoded, where it came from."""

    type: str
    """Folder under ``vab/models``, with a variant where it is one: ``vab``, ``vab-encoder``."""
    config: dict[str, Any]
    """The network's configuration."""
    codec: Component
    encoder: Component
    refiner: Component | None = None
    """What completes this model's codes; None = its sound is what its own codes give."""
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    window_seconds: float = 10.0
    """Length the model was trained on; longer videos are done in windows of this length."""
    overlap_seconds: float = 2.0
    """Sound that a window takes over from the one before."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Data, command, date, hardware, licence, measured quality."""

    def check_store(self, store: FeatureStore) -> None:
        """Refuse features that another codec or encoder made.

        Raises:
            StoreError: says which is which.
        """
        for kind, here, wanted in (
            ("codec", store.stream("codes"), self.codec),
            ("encoder", store.stream("clip"), self.encoder),
        ):
            if here.fingerprint != wanted.fingerprint:
                raise StoreError(
                    f"{store.path} was made with {kind} {here.maker} {here.fingerprint}, the weights go with "
                    f"{wanted.name} {wanted.fingerprint}; extract again with theirs"
                )


def save_model(path: Path, model: nn.Module, card: ModelCard, *, dtype: torch.dtype = torch.float32) -> None:
    """Write weights and card, atomically; ``dtype`` float16 halves the file."""
    tensors = {name: value.detach().cpu().to(dtype) for name, value in model.state_dict().items()}
    save_tensors(path, tensors, {"format": FORMAT, "version": 1, **to_dict(card)})


def load_model(path: Path) -> tuple[nn.Module, ModelCard]:
    """The network, in evaluation mode and float32 on the CPU, and its card.

    Raises:
        WeightsError: the file is damaged, of another kind or version, or does not fit its own configuration.
    """
    tensors, header = load_tensors(path, expected_format=FORMAT)
    fields = {key: value for key, value in header.items() if key not in ("format", "version")}
    card = from_dict(ModelCard, _current(fields), source=str(path))
    folder = find_model(card.type)
    model: nn.Module = folder.model(from_dict(folder.config, card.config, source=str(path)))
    load_state(model, {name: value.float() for name, value in tensors.items()}, path)
    return model.eval().requires_grad_(False), card


def _current(fields: dict[str, Any]) -> dict[str, Any]:
    """A card as it is written today, from one of any age."""
    fields = {**fields, "config": dict(fields.get("config", {}))}
    config = fields["config"]
    if fields.get("type") == "coarse_to_fine":
        fields["type"] = "vab-refiner"
        given = config.pop("num_coarse_codebooks", 0)
        config |= {
            "num_given_codebooks": given,
            "num_encoder_layers": config.get("num_layers"),
            "has_experts": False,
        }
    for holder in (config, config.get("encoder")):  # a classifier's configuration holds its encoder's
        if isinstance(holder, dict) and holder.get("alibi") == "directed":
            holder["alibi"] = "asymmetric"
    return fields
