"""``vab adapt``: a pretrained model and a feature store in, an encoder for search out."""

from __future__ import annotations

import json
from dataclasses import replace

import torch

from tasks.console import say
from tasks.retrieval.options import AdaptOptions
from vab.config import to_dict, to_record
from vab.features.joined import JoinedDataset
from vab.features.store import FeatureStore
from vab.files import check_outputs, write_atomically
from vab.models.vab.encoder import VABEncoder, load_encoder_of, save_encoder
from vab.objectives.contrastive import ContrastiveAdaptation
from vab.pipeline import load, model_path
from vab.provenance import made_with
from vab.training.folder import run_folder
from vab.training.run import fit
from vab.weights import sha256_of


def run(options: AdaptOptions) -> int:
    """Train, then write ``encoder.safetensors`` into the run's folder."""
    with run_folder(options.out):
        return _run(options)


def _run(options: AdaptOptions) -> int:
    path = model_path(options.weights)
    written = options.out / "encoder.safetensors"
    check_outputs([written], [path])
    encoder, card = load_encoder_of(path)
    stores = [FeatureStore(store) for store in options.store]
    for store in stores:
        card.check_store(store)
    train_data = _dataset(stores, encoder, options, is_training=True)
    validation_data = _dataset(stores, encoder, options, is_training=False)

    torch.manual_seed(options.training.seed)
    encoder = encoder.with_time_waves(options.time_waves)
    if options.init == "scratch":
        encoder = VABEncoder(encoder.config)
        codebooks = load(path).codec.codebooks.cpu()
        encoder.code_embedding.load_codebooks(codebooks[: encoder.config.num_codebooks])
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "options.json", json.dumps(to_dict(options), indent=2) + "\n")
    objective = ContrastiveAdaptation(encoder, options.objective)
    fit(
        objective,
        train_data,
        validation_data,
        options.training,
        options.out,
        resume=options.resume,
        device=options.device,
    )
    provenance = {
        "trained_on": train_data.describe(),
        "from": {"weights": path.stem, "sha256": sha256_of(path), "init": options.init},
        "temperature": objective.temperature,
        "options": to_record(options),
        **made_with(),
    }
    # What it goes with is as before; its windows are as long as what it was adapted on.
    seconds = options.data.crop_seconds or stores[0].info.clip_seconds
    card = replace(card, window_seconds=seconds, overlap_seconds=seconds / 2, provenance=provenance)
    save_encoder(written, encoder, card)
    say(f"adapted on {train_data.describe()}; weights in {written}")
    return 0


def _dataset(
    stores: list[FeatureStore], encoder: VABEncoder, options: AdaptOptions, *, is_training: bool
) -> JoinedDataset:
    data = options.data
    return JoinedDataset.of_splits(
        stores,
        data.train_splits,
        data.validation_splits,
        limit=None if is_training else data.num_validation_clips,
        num_codebooks=encoder.config.num_codebooks,
        streams={"codes": None, "clip": encoder.config.visual_fps},
        crop_seconds=data.crop_seconds,
        mixup_prob=data.mixup_prob,
        roll_prob=data.roll_prob,
        is_training=is_training,
    )
