"""A model's weights file: one safetensors with, in its header, all that is needed to use it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vab.checkpoint import build_for, load_state, load_tensors, save_tensors
from vab.config import check_ranges, from_dict, to_dict
from vab.download import sha256_of
from vab.errors import StoreError, WeightsError
from vab.features.store import FeatureStore
from vab.models import find_model
from vab.shapes import Tensor

FORMAT = "model"
SCALE = ".scale"
"""What the name of a matrix's scales has after the matrix's own."""
REFINER = "refiner"
"""The one role in a card that is no stream's: what completes the codes."""


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
    """What a model is, what it goes with, how it is best sampled, where it came from."""

    type: str
    """A model's name, with a variant where it is one: ``vab``, ``vab-encoder``."""
    config: dict[str, Any]
    """The network's configuration."""
    components: dict[str, Component]
    """What made each stream, by the stream's name ("codes": a codec, "clip": a visual encoder); under "refiner" what
    completes this model's codes, if anything does."""
    sampling: dict[str, Any] = field(default_factory=dict)
    """Sampling options that are recommended; what is not named is as the model's ``SAMPLING`` has it."""
    window_seconds: float = 10.0
    """Length the model was trained on; longer videos are done in windows of this length."""
    overlap_seconds: float = 2.0
    """Sound that a window takes over from the one before."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Data, command, date, hardware, licence, measured quality."""

    def __post_init__(self) -> None:
        check_ranges(self, window_seconds=(0.01, 3600), overlap_seconds=(0, 3600))

    def sampling_options(self) -> Any:
        """The recommended options, as a ``SAMPLING`` of the model's folder; a WeightsError where it makes no audio."""
        kind = find_model(self.type).sampling
        if kind is None:
            raise WeightsError(
                f"a {self.type!r} makes no audio; give the weights of a whole model, such as 'demo'"
            )
        return from_dict(kind, self.sampling, source="sampling")

    def check_store(self, store: FeatureStore, streams: Collection[str] | None = None) -> None:
        """Refuse streams, by default all that the model was trained on, that another codec or encoder made.

        Raises:
            StoreError: says which is which.
        """
        for name in self.components if streams is None else streams:
            wanted = self.components[name]
            here = store.info.streams.get(name)
            if here is not None and here.fingerprint != wanted.fingerprint:
                raise StoreError(
                    f"{store.path}: {name} was made with {here.maker} {here.fingerprint}, the weights go with "
                    f"{wanted.name} {wanted.fingerprint}; extract again with theirs"
                )


def save_model(path: Path, model: nn.Module, card: ModelCard, *, dtype: torch.dtype = torch.float32) -> None:
    """Write weights and card, atomically; ``dtype`` float16 halves the file, int8 makes a quarter of it."""
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    small = (
        _in_8_bits(tensors) if dtype == torch.int8 else {n: value.to(dtype) for n, value in tensors.items()}
    )
    save_tensors(path, small, {"format": FORMAT, "version": 1, **to_dict(card)})


def _in_8_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices rounded to 8 bits, each row by a scale of its own, which stands beside them; the rest in float16."""
    rounded = {}
    for name, value in tensors.items():
        if value.ndim < 2:
            rounded[name] = value.half()
            continue
        rows = value.flatten(1)
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
        rounded[name] = (rows / scale).round().to(torch.int8).view_as(value)
        rounded[name + SCALE] = scale
    return rounded


def _in_32_bits(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """What ``save_model`` was given, as near as its ``dtype`` allows."""
    scales = {
        name: tensors[name + SCALE]
        for name, value in tensors.items()
        if value.dtype == torch.int8 and value.ndim > 1 and name + SCALE in tensors
    }
    whole = {name: value.float() for name, value in tensors.items() if name.removesuffix(SCALE) not in scales}
    for name, scale in scales.items():
        if scale.shape != (len(tensors[name]), 1):
            raise WeightsError(
                f"{path}: {name + SCALE} is {list(scale.shape)}, not one number a row of {name}"
            )
        whole[name] = (tensors[name].flatten(1) * scale).view_as(tensors[name])
    return whole


def load_model(path: Path) -> tuple[nn.Module, ModelCard]:
    """The network, in evaluation mode and float32 on the CPU, and its card.

    Raises:
        WeightsError: the file is damaged, of another kind or version, or does not fit its own configuration.
    """
    stored, header = load_tensors(path, expected_format=FORMAT)
    tensors = _in_32_bits(stored, path)
    fields = {key: value for key, value in header.items() if key not in ("format", "version")}
    card = from_dict(ModelCard, _current(fields), source=str(path))
    folder = find_model(card.type)
    config = from_dict(folder.config, card.config, source=str(path))
    model: nn.Module = build_for(lambda: folder.model(config), tensors, path)
    load_state(model, tensors, path)
    return model.eval().requires_grad_(False), card


def _current(fields: dict[str, Any]) -> dict[str, Any]:
    """A card as it is written today, from one of any age."""
    if not isinstance(fields.get("config"), dict):
        return fields
    fields = deepcopy(fields)
    config = fields["config"]
    if "components" not in fields:
        roles = {"codes": "codec", "clip": "encoder", REFINER: "refiner"}
        found = {role: fields.pop(key, None) for role, key in roles.items()}
        fields["components"] = {role: component for role, component in found.items() if component}
    if "decoding" in fields:
        fields["sampling"] = fields.pop("decoding")
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
