"""``vab pretrain``: a feature store and a configuration in, curves and weights out."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from tasks.console import console
from tasks.pretraining.options import PretrainOptions
from tasks.pretraining.samples import SampleLogger
from vab import __version__
from vab.codecs import Codec, load_codec
from vab.config import to_dict, to_record
from vab.errors import ConfigError, StoreError
from vab.features.joined import JoinedDataset
from vab.features.store import FeatureStore
from vab.files import check_outputs, write_atomically
from vab.models import find_model
from vab.models.files import Component, ModelCard, load_model, save_model
from vab.models.vab.config import VABConfig
from vab.objectives.masked_prediction import MaskedPrediction
from vab.training.folder import run_folder
from vab.training.run import fit

WEIGHTS = "model.safetensors"
"""What every run's result is called."""


def run(options: PretrainOptions) -> int:
    """Train, then write ``model.safetensors`` into the run's folder."""
    with run_folder(options.out):
        return _run(options)


def _run(options: PretrainOptions) -> int:
    check_outputs([options.out / WEIGHTS], [options.refiner] if options.refiner else [])
    stores = [FeatureStore(path) for path in options.store]
    codec = load_codec(stores[0].stream("codes").maker, weights=options.codec_weights)
    config = options.model
    for store in stores:
        check_fits(config, store, codec)
    refiner = None if options.refiner is None else adopt_refiner(options, options.refiner, stores[0])
    train_data = _dataset(stores, options, is_training=True)
    validation_data = _dataset(stores, options, is_training=False)

    torch.manual_seed(options.training.seed)
    model = find_model(options.type).model(config)
    model.code_embedding.load_codebooks(codec.codebooks[: config.num_codebooks])
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "options.json", json.dumps(to_dict(options), indent=2) + "\n")
    logged = range(min(options.data.num_logged_clips, len(validation_data)))
    samples = None
    if logged:
        clips = validation_data.__getitems__([(index, 0) for index in logged])
        samples = SampleLogger(codec, clips, options.decoding)
    fit(
        MaskedPrediction(model, options.objective),
        train_data,
        validation_data,
        options.training,
        options.out,
        resume=options.resume,
        on_validation=samples,
        device=options.device,
    )
    path = options.out / WEIGHTS
    save_model(path, model, _card(options, stores[0], train_data.describe(), refiner))
    console.print(f"trained on {train_data.describe()}; weights in {path}", markup=False)
    return 0


def adopt_refiner(options: PretrainOptions, path: Path, store: FeatureStore) -> Component:
    """Copy a refiner beside the weights that are to come, under its own name or its run's.

    Raises:
        ConfigError: what is trained is a refiner itself, or the two do not fit.
        WeightsError: the file is not a model's.
        StoreError: it was trained with another codec or encoder.
    """
    if options.type != "vab":
        raise ConfigError("a coarse-to-fine stage has no --refiner; give it when the VAB is trained")
    model, card = load_model(path)
    make_refiner = find_model(card.type).refiner
    if make_refiner is None:
        raise ConfigError(f"{path}: a {card.type!r} refines nothing; train one with configs/coarse_to_fine")
    card.check_store(store)
    refiner = make_refiner(model, card)
    wanted = {"num_codebooks": refiner.num_coarse_codebooks, "visual_fps": refiner.visual_fps}
    wrong = [
        f"model.{name} is {getattr(options.model, name)}, the refiner takes {value}"
        for name, value in wanted.items()
        if getattr(options.model, name) != value
    ]
    if wrong:
        raise ConfigError(f"{path}: {'; '.join(wrong)}")
    name = path.resolve().parent.name if path.name == WEIGHTS else path.stem
    copy = options.out / f"{name}.safetensors"
    write_atomically(copy, path.read_bytes())
    return Component.of_file(copy)


def check_fits(model: VABConfig, store: FeatureStore, codec: Codec) -> None:
    """The model, the store and the codec must agree.

    Raises:
        StoreError: the store was written with another codec.
        ConfigError: the model's numbers are not the store's; the message lists them.
    """
    if codec.fingerprint != store.stream("codes").fingerprint:
        raise StoreError(
            f"{store.path} holds codes of {store.stream('codes').maker} {store.stream('codes').fingerprint}, "
            f"but {codec.name} here is {codec.fingerprint}"
        )
    wanted = {
        "codebook_size": codec.codebook_size,
        "codebook_dim": codec.codebook_dim,
        "frame_rate": codec.frame_rate,
        "visual_dim": store.stream("clip").shape[0],
    }
    wrong = [
        f"model.{name} is {getattr(model, name)}, the store needs {value}"
        for name, value in wanted.items()
        if getattr(model, name) != value
    ]
    if model.num_codebooks > codec.num_codebooks:
        wrong.append(f"model.num_codebooks is {model.num_codebooks}, the codec has {codec.num_codebooks}")
    if wrong:
        raise ConfigError(f"{store.path}: {'; '.join(wrong)}")


def _dataset(stores: Sequence[FeatureStore], options: PretrainOptions, *, is_training: bool) -> JoinedDataset:
    """The clips of a split in all stores that have it."""
    data = options.data
    return JoinedDataset.of_splits(
        stores,
        data.train_splits,
        data.validation_splits,
        limit=None if is_training else data.num_validation_clips,
        num_codebooks=options.model.num_codebooks,
        streams={"codes": None, "clip": options.model.visual_fps},
        crop_seconds=data.crop_seconds,
        mixup_prob=data.mixup_prob if is_training else 0.0,
        roll_prob=data.roll_prob if is_training else 0.0,
        is_training=is_training,
    )


def _card(
    options: PretrainOptions, store: FeatureStore, trained_on: str, refiner: Component | None
) -> ModelCard:
    seconds = options.data.crop_seconds or store.info.clip_seconds
    return ModelCard(
        type=options.type,
        config=to_dict(options.model),
        codec=Component(store.stream("codes").maker, store.stream("codes").fingerprint),
        encoder=Component(store.stream("clip").maker, store.stream("clip").fingerprint),
        refiner=refiner,
        decoding=options.decoding,
        window_seconds=seconds,
        overlap_seconds=seconds / 5,
        provenance={
            "trained_on": trained_on,
            "options": to_record(options),
            "date": datetime.now(UTC).date().isoformat(),
            "vab": __version__,
            "torch": torch.__version__,
            "machine": platform.machine(),
        },
    )
