"""What a model goes with: its codec, visual encoders and stream makers, and the refiner of its codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vab.audio import load_autoencoder
from vab.codecs import load_codec
from vab.device import on_device
from vab.errors import WeightsError
from vab.features.makers import FramesInput, StreamMaker, VisualMaker, load_maker, maker_names
from vab.models import find_model
from vab.models.base import CodeRefiner
from vab.models.files import REFINER, Component, ModelCard, load_model
from vab.visual import VisualEncoder, load_visual
from vab.weights import resolve


@dataclass(frozen=True)
class Components(Mapping[str, Any]):
    """What made each stream of a card, loaded when it is first asked for: what only training reads never is."""

    card: ModelCard
    path: Path
    """Of the model: files beside it come first."""
    device: str
    _loaded: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The codec of "codes", the autoencoder of "latents"; of any other stream the maker of its name, or else a
        visual encoder.

        Raises:
            WeightsError: it is not there, or is not the one of the training.
        """
        if name not in self._loaded:
            if name == REFINER:
                raise KeyError(name)
            self._loaded[name] = _load_component(name, self.card.components[name], self.path, self.device)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.card.components if name != REFINER)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def frames_maker(
    component: VisualEncoder | StreamMaker, stream: str, rate: float, device: str
) -> tuple[StreamMaker, FramesInput]:
    """What makes a stream of frames, as the extraction made it, and the frames that it reads.

    ``component`` is the stream's, on ``device``; ``rate`` is the steps a second that are wanted.

    Raises:
        WeightsError: it makes another number of steps a second, or reads audio.
    """
    if isinstance(component, VisualEncoder):
        fps = component.fps or rate * component.frames_per_chunk / component.features_per_chunk
        component = VisualMaker(component, fps, device)
    made, reads = component.describe(stream), component.reads
    if not isinstance(reads, FramesInput):
        raise WeightsError(f"{made.maker} makes {stream!r} of audio, which a silent video does not have")
    if abs(made.rate - rate) > 1e-6 * rate:
        raise WeightsError(
            f"{made.maker} makes {made.rate:g} steps of {stream!r} a second, the model takes {rate:g}"
        )
    return component, reads


def component_source(component: Component, model_path: Path) -> str:
    """What loads a model's codec or encoder: a file of its name beside the model's own, else the name itself.

    What stands before a colon, as in ``layers:demo-clip``, is no part of the file's name and stays.
    """
    prefix, colon, stem = component.name.rpartition(":")
    for suffix in (".safetensors", ".pt"):
        if (file := model_path.parent / f"{stem}{suffix}").exists():
            return f"{prefix}{colon}{file}"
    return component.name


def load_refiner(card: ModelCard, model_path: Path, device: str, dtype: str) -> CodeRefiner:
    """The refiner that a model's card names.

    Raises:
        WeightsError: it is not there, is not the one of the training, or goes with other components.
    """
    component = card.components[REFINER]
    path = resolve(component_source(component, model_path))
    found = Component.of_file(path)
    if found.fingerprint != component.fingerprint:
        raise WeightsError(
            f"{model_path.name} goes with refiner {component.name} {component.fingerprint}, {path} is "
            f"{found.fingerprint}; put that one beside it, or train it anew with --refiner and --resume"
        )
    model, own_card = load_model(path)
    make_refiner = find_model(own_card.type).refiner
    if make_refiner is None:
        raise WeightsError(f"{path}: a {own_card.type!r} refines nothing")
    if any(card.components.get(role) != each for role, each in own_card.components.items()):
        raise WeightsError(f"{path} was trained with another codec or encoder than {model_path.name}")
    return make_refiner(on_device(model, device, dtype), own_card)


def _load_component(name: str, component: Component, path: Path, device: str) -> Any:
    try:
        if name == "codes":
            loaded: Any = load_codec(component_source(component, path), device=device)
        elif name == "latents":
            loaded = load_autoencoder(component_source(component, path), device=device)
        elif name in maker_names():
            source = component_source(component, path)
            loaded = load_maker(name, device, **({} if source == component.name else {"weights": source}))
        else:
            loaded = load_visual(component_source(component, path), device=device)
    except WeightsError as error:
        raise WeightsError(
            f"{path} goes with {component.name}, as a file beside it ({component.name}.safetensors) or by name: {error}"
        ) from error
    made = loaded.describe(name) if isinstance(loaded, StreamMaker) else None
    found = Component(made.maker, made.fingerprint) if made else Component(loaded.name, loaded.fingerprint)
    if found.fingerprint != component.fingerprint:
        raise WeightsError(
            f"{path.name} was trained with {component.name} {component.fingerprint}, "
            f"found {found.name} {found.fingerprint}; put the former beside it as {component.name}.safetensors"
        )
    return loaded
