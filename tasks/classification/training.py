"""One fold of fine-tuning: a classifier from an encoder, trained, and its predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch

from tasks.classification.options import DataOptions, FinetuneOptions
from tasks.classification.protocol import Fold
from tasks.console import track
from vab.device import choose_device
from vab.features.batch import FeatureBatch
from vab.features.dataset import FeatureDataset
from vab.features.sampler import class_balanced_weights
from vab.features.store import FeatureStore
from vab.models.vab.classifier import VABClassifier, VABClassifierConfig
from vab.models.vab.config import VABConfig
from vab.models.vab.encoder import VABEncoder
from vab.models.vab.model import VAB
from vab.objectives.classification import Classification, inputs_of
from vab.objectives.masked_prediction import MaskedPrediction
from vab.objectives.options import MaskedPredictionOptions
from vab.shapes import Float, Tensor
from vab.training.run import fit

STREAMS_OF = {"audio": ("codes",), "visual": ("clip",), "both": ("codes", "clip")}
"""What a classifier of a modality reads."""
CLIPS_A_PASS = 32
"""Clips that a network without gradients takes at a time."""


def build_classifier(encoder: VABEncoder, classes: Sequence[str], options: FinetuneOptions) -> VABClassifier:
    """A classifier on a copy of an encoder."""
    shared = {field.name: getattr(encoder.config, field.name) for field in fields(VABConfig)}
    model = VABClassifier(VABClassifierConfig(list(classes), options.modality, VABConfig(**shared)))
    model.encoder = VABEncoder.taken_from(encoder, model.config.encoder)
    return model


def finetune(
    model: VABClassifier,
    store: FeatureStore,
    fold: Fold,
    class_of: Mapping[str, int],
    options: FinetuneOptions,
    out: Path,
) -> None:
    """Train a classifier in place (paper section 3.5, table 8), measured on the test clips after every epoch."""
    labels = [store.clips.labels[clip] for clip in fold.train]
    fit(
        Classification(model, class_of, options.objective),
        training_data(store, fold.train, model.config, options.data),
        measured_data(store, fold.test, model.config),
        options.training.for_clips(len(fold.train)),
        out,
        resume=options.resume,
        device=options.device,
        weights=class_balanced_weights(labels) if options.data.class_balanced else None,
    )


def go_on_masked(
    model: VAB, store: FeatureStore, clips: Sequence[int], options: FinetuneOptions, out: Path
) -> None:
    """Masked prediction on the sound of some clips alone, in place: their frames are always taken away."""
    schedule = replace(options.training, epochs=options.masked_epochs)
    fit(
        MaskedPrediction(model, MaskedPredictionOptions(condition_drop_prob=1.0)),
        training_data(store, clips, model.config, options.data),
        None,
        schedule.for_clips(len(clips)),
        out,
        resume=options.resume,
        device=options.device,
    )


def training_data(
    store: FeatureStore, clips: Sequence[int], config: VABConfig | VABClassifierConfig, data: DataOptions
) -> FeatureDataset:
    """Clips as they are learnt from: mixed and rolled (appendix B.3)."""
    return FeatureDataset(
        store,
        clips,
        streams=streams_of(config),
        num_codebooks=config.num_codebooks,
        mixup_prob=data.mixup_prob,
        roll_prob=data.roll_prob,
        is_training=True,
    )


def measured_data(store: FeatureStore, clips: Sequence[int], config: VABClassifierConfig) -> FeatureDataset:
    """Clips as they are measured: whole, neither mixed nor rolled."""
    return FeatureDataset(store, clips, streams=streams_of(config), num_codebooks=config.num_codebooks)


def streams_of(config: VABConfig | VABClassifierConfig) -> dict[str, float | None]:
    """What a network reads, at which rate."""
    modality = config.modality if isinstance(config, VABClassifierConfig) else "both"
    return {name: config.visual_fps if name == "clip" else None for name in STREAMS_OF[modality]}


@torch.inference_mode()
def _for_each_clip(
    what: Callable[[FeatureBatch], Float[Tensor, "B _"]],
    model: VABClassifier,
    store: FeatureStore,
    clips: Sequence[int],
    description: str,
    device: str,
) -> Float[Tensor, "clips _"]:
    """What is made of clips as they are measured, float32 on the CPU; the model moves to the device."""
    data = measured_data(store, clips, model.config)
    device = choose_device(device)
    model.to(device).eval()
    batches = track(data.batches(CLIPS_A_PASS), description, total=len(clips), size=len)
    return torch.cat([what(batch.to(device)).float().cpu() for batch in batches])


def probabilities(
    model: VABClassifier, store: FeatureStore, clips: Sequence[int], *, device: str
) -> Float[Tensor, "clips classes"]:
    """What the classifier says of clips."""
    return _for_each_clip(
        lambda batch: model(**inputs_of(batch)).sigmoid(), model, store, clips, "predicting", device
    )


def pooled_features(
    model: VABClassifier, store: FeatureStore, clips: Sequence[int], *, device: str
) -> Float[Tensor, "clips D"]:
    """What the head would see of clips."""
    return _for_each_clip(
        lambda batch: model.pool(**inputs_of(batch)), model, store, clips, "encoding", device
    )
