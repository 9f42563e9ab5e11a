"""``vab pretrain``: feature stores and a configuration in, curves and weights out, for any model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tasks.console import say
from tasks.pretraining.options import PretrainOptions
from tasks.pretraining.samples import SampleLogger
from vab.audio import load_autoencoder
from vab.checkpoint import one_line
from vab.codecs import load_codec
from vab.config import from_dict, to_dict, to_record
from vab.errors import ConfigError, StoreError
from vab.features.joined import JoinedDataset
from vab.features.manifest import load_manifest
from vab.features.store import FeatureStore
from vab.files import check_outputs, write_atomically
from vab.models import ModelFolder, find_model
from vab.models.base import ModelConfig, TrainableModel
from vab.models.files import REFINER, Component, ModelCard, load_model, save_model
from vab.pipeline import model_path
from vab.provenance import made_with
from vab.training.folder import run_folder
from vab.training.run import fit

WEIGHTS = "model.safetensors"
"""What every run's result is called."""


def run(options: PretrainOptions) -> int:
    """Train, then write ``model.safetensors`` into the run's folder."""
    with run_folder(options.out):
        return _run(options)


def _run(options: PretrainOptions) -> int:
    init = [model_path(name) for name in options.init]
    check_outputs([options.out / WEIGHTS], [*init, *filter(None, [options.refiner])])
    folder = find_model(options.type)
    if folder.objective is None or folder.objective_options is None:
        raise ConfigError(f"a {options.type!r} is not trained by 'vab pretrain': it names no OBJECTIVE")
    config: ModelConfig = from_dict(folder.config, options.model, source="model")
    objective = from_dict(folder.objective_options, options.objective, source="objective")
    if folder.sampling is not None:
        sampling = to_dict(from_dict(folder.sampling, options.sampling, source="sampling"))
        options = replace(options, sampling=sampling)
    options = replace(options, model=to_dict(config), objective=to_dict(objective))

    stores = [FeatureStore(path) for path in options.store]
    for store in stores:
        check_fits(config, store)
    components = _audio_components(config, stores, options.codec_weights)
    card = _card(options, config, stores[0])
    if options.refiner is not None:
        adopted = adopt_refiner(options, folder, config, options.refiner, stores[0])
        card = replace(card, components=card.components | {REFINER: adopted})
    train_data = _dataset(stores, config, options, is_training=True)
    validation_data = _dataset(stores, config, options, is_training=False)

    torch.manual_seed(options.training.seed)
    model = folder.model(config)
    if isinstance(model, TrainableModel):
        try:
            model.start_from(components)
        except ValueError as error:
            raise ConfigError(f"model: {error}") from error
    if init:
        for path in init:
            begin_with(model, options.type, path, stores[0])
        begun = [Component.of_file(path).fingerprint for path in init]
        card = replace(card, provenance={**card.provenance, "init": begun})
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "options.json", json.dumps(to_dict(options), indent=2) + "\n")
    logged = range(min(options.data.num_logged_clips, len(validation_data)))
    samples = None
    if logged:
        clips = validation_data.__getitems__([(index, 0) for index in logged])
        samples = SampleLogger(card, components, clips, card.window_seconds)
    fit(
        folder.objective(model, objective),
        train_data,
        validation_data,
        options.training,
        options.out,
        resume=options.resume,
        on_validation=samples,
        device=options.device,
    )
    provenance = {"trained_on": train_data.describe(), **card.provenance}
    save_model(options.out / WEIGHTS, model, replace(card, provenance=provenance))
    say(f"trained on {train_data.describe()}; weights in {options.out / WEIGHTS}")
    return 0


def adopt_refiner(
    options: PretrainOptions, folder: ModelFolder, config: ModelConfig, path: Path, store: FeatureStore
) -> Component:
    """Copy a refiner beside the weights that are to come, under its own name or its run's.

    Raises:
        ConfigError: what is trained generates nothing itself, or the two do not fit.
        WeightsError: the file is not a model's.
        StoreError: it was trained with another codec or encoder.
    """
    if folder.generator is None:
        raise ConfigError(
            f"a {options.type!r} has no --refiner; give it when the model that generates is trained"
        )
    model, card = load_model(path)
    make_refiner = find_model(card.type).refiner
    if make_refiner is None:
        raise ConfigError(f"{path}: a {card.type!r} refines nothing; train one with configs/coarse_to_fine")
    card.check_store(store)
    refiner = make_refiner(model, card)
    num_codebooks = getattr(config, "num_codebooks", None)
    wrong = [
        f"the model takes {config.streams.get(name, 0):g} steps of {name!r} a second, the refiner {rate:g}"
        for name, rate in refiner.condition_rates.items()
        if config.streams.get(name) != rate
    ]
    if num_codebooks != refiner.num_coarse_codebooks:
        wrong.append(
            f"model.num_codebooks is {num_codebooks}, the refiner takes {refiner.num_coarse_codebooks}"
        )
    if wrong:
        raise ConfigError(f"{path}: {'; '.join(wrong)}")
    name = path.resolve().parent.name if path.name == WEIGHTS else path.stem
    copy = options.out / f"{name}.safetensors"
    write_atomically(copy, path.read_bytes())
    return Component.of_file(copy)


def begin_with(model: nn.Module, type_: str, path: Path, store: FeatureStore) -> None:
    """Take over weights of the same type, or those of a variant as the part of the variant's name.

    What they were only trained towards, such as MaskVAT's audio features, may be of another encoder in the store.

    Raises:
        ConfigError: they are of another type or of other sizes.
        WeightsError: the file is not a model's.
        StoreError: it was trained with another codec or encoder.
    """
    earlier, card = load_model(path)
    targets = getattr(earlier.config, "targets", {})
    card.check_store(store, [name for name in card.components if name not in targets])
    part = card.type.removeprefix(f"{type_}-")
    target = model if card.type == type_ else getattr(model, part, None)
    if not isinstance(target, nn.Module):
        raise ConfigError(f"--init {path}: a {card.type!r} is neither a {type_!r} nor a part of one")
    try:
        target.load_state_dict(earlier.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"--init {path}: of other sizes than 'model' says ({one_line(error)})") from error


def check_fits(config: ModelConfig, store: FeatureStore) -> None:
    """Model and store must agree.

    Raises:
        StoreError: the store lacks a stream that the model reads.
        ConfigError: the model's numbers are not the store's; the message lists them.
    """
    if wrong := config.problems({name: store.stream(name) for name in config.streams}):
        raise ConfigError(f"{store.path}: {'; '.join(wrong)}")


def _audio_components(
    config: ModelConfig, stores: Sequence[FeatureStore], codec_weights: str | None
) -> dict[str, Any]:
    """The codec of each stream of codes that the model reads, and the autoencoder of latents.

    Raises:
        StoreError: a store was written with another codec.
    """
    found: dict[str, Any] = {}
    for name in config.streams:
        stream = stores[0].stream(name)
        if stream.kind == "codes":
            made: Any = load_codec(stream.maker, weights=codec_weights)
        elif name == "latents":
            made = load_autoencoder(codec_weights or stream.maker)
        else:
            continue
        found[name] = made
        for store in stores:
            if made.fingerprint != (here := store.stream(name)).fingerprint:
                raise StoreError(
                    f"{store.path} holds {name} of {here.maker} {here.fingerprint}, but {made.name} here is "
                    f"{made.fingerprint}"
                )
    return found


def _dataset(
    stores: Sequence[FeatureStore], config: ModelConfig, options: PretrainOptions, *, is_training: bool
) -> JoinedDataset:
    data = options.data
    only: set[str] | None = None
    if is_training and data.clips:  # whether their files are still there or not
        manifest = load_manifest(data.clips)
        only = {*manifest.missing, *(clip.id for clip in manifest.clips)}
    return JoinedDataset.of_splits(
        stores,
        data.train_splits,
        data.validation_splits,
        limit=None if is_training else data.num_validation_clips,
        only=only,
        num_codebooks=getattr(config, "num_codebooks", None),
        streams=config.streams,
        required_streams=data.required_streams,
        crop_seconds=data.crop_seconds,
        mixup_prob=data.mixup_prob,
        roll_prob=data.roll_prob,
        is_training=is_training,
    )


def _card(options: PretrainOptions, config: ModelConfig, store: FeatureStore) -> ModelCard:
    seconds = options.data.crop_seconds or store.info.clip_seconds
    makers: Mapping[str, Any] = {name: store.stream(name) for name in config.streams}
    return ModelCard(
        type=options.type,
        config=options.model,
        components={name: Component(made.maker, made.fingerprint) for name, made in makers.items()},
        sampling=options.sampling,
        window_seconds=seconds,
        overlap_seconds=seconds / 5,
        provenance={"options": to_record(options), **made_with()},
    )
