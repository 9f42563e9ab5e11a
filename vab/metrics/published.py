"""What networks published by others share: how their files are loaded, and what tells the classes of a sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from torch import nn

from vab.checkpoint import load_state, load_torch_state
from vab.errors import WeightsError
from vab.shapes import Float, Tensor
from vab.weights import resolve

Network = TypeVar("Network", bound=nn.Module)
State = Mapping[str, Tensor]


def load_published(
    name: str,
    weights: str | Path,
    build: Callable[[State], Network],
    *,
    device: str,
    rename: Callable[[str], str | None] = lambda key: key,
) -> Network:
    """A frozen network from its authors' file.

    Args:
        name: of the network, for messages.
        weights: a registered name, downloaded once, or a path.
        build: the network that tensors of these shapes belong to.
        device: cpu or cuda.
        rename: a tensor's name in the file to its name in the network; None where it is no part of it.

    Raises:
        WeightsError: the file is absent, damaged or another.
    """
    path = resolve(weights)
    content = load_torch_state(path, f"{name}; use the file that 'vab info' names")
    state = {own: value for key, value in content.items() if (own := rename(key)) is not None}
    try:
        network = build(state)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"{path}: holds no {name} ({error}); use the file that 'vab info' names"
        ) from error
    load_state(network, state, path)
    return network.eval().requires_grad_(False).to(device)


@dataclass(frozen=True)
class Tagging:
    """What a network of classes says of one clip."""

    probabilities: Float[Tensor, " V"]
    """Softmax over AudioSet's classes, as the field's evaluators for video to audio have it, though a clip may be
    of several and the networks were trained with a sigmoid each: taken so, they are one distribution."""
    embedding: Float[Tensor, " E"]


@runtime_checkable
class Tagger(Protocol):
    """A network of AudioSet's classes with its weights, such as ``PannsTagger`` and ``PasstTagger``."""

    sample_rate: int
    """Of the sound it takes."""

    def __call__(self, waveform: Float[Tensor, "1 L"]) -> Tagging:
        """What is in one clip at ``sample_rate``."""
