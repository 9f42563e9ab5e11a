"""The linear probe: logistic regression on features of the frozen network (paper table 6)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from tasks.classification.training import pooled_features
from vab.checkpoint import fingerprint
from vab.config import to_dict
from vab.errors import WeightsError
from vab.features.store import FeatureStore
from vab.models.vab.classifier import VABClassifier
from vab.shapes import Float, Tensor
from vab.weights import load_tensors, save_tensors

FORMAT = "pooled-features"
MOST_ITERATIONS = 2000


def cached_features(
    model: VABClassifier, store: FeatureStore, clips: Sequence[int], folder: Path, *, device: str
) -> Float[Tensor, "clips D"]:
    """Pooled features of clips, computed once for a network, a modality and a list of clips, then read."""
    ids = [store.clips.ids[clip] for clip in clips]
    about = {
        "network": fingerprint(to_dict(model.config.encoder), model.encoder.state_dict().items()),
        "modality": model.config.modality,
        "codec": store.stream("codes").fingerprint,
        "encoder": store.stream("clip").fingerprint,
        "seconds": store.info.clip_seconds,
        "clips": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
    }
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    path = folder / f"features-{name}.safetensors"
    if path.exists():
        try:
            return load_tensors(path, expected_format=FORMAT)[0]["pooled"]
        except (WeightsError, KeyError) as error:
            raise WeightsError(f"{path}: damaged; delete it to have it made again") from error
    pooled = pooled_features(model, store, clips, device=device)
    save_tensors(path, {"pooled": pooled}, {"format": FORMAT, "version": 1, **about})
    return pooled


def fit_probe(
    model: VABClassifier, features: Float[Tensor, "clips D"], targets: np.ndarray, *, seed: int
) -> None:
    """Fill in the head: one logistic regression a class, the same loss as fine-tuning's, on standardised features.

    The standardisation is folded into the head, so that the classifier needs nothing else. A class without a training
    clip keeps its start: unlikely. ``targets`` are bool [clips, classes], ``seed`` is the solver's.
    """
    known = np.flatnonzero(targets.any(axis=0) & ~targets.all(axis=0))
    scaler = StandardScaler().fit(features.double().numpy())
    regression = OneVsRestClassifier(LogisticRegression(max_iter=MOST_ITERATIONS, random_state=seed)).fit(
        scaler.transform(features.double().numpy()), targets[:, known]
    )
    weight = np.concatenate([one.coef_ for one in regression.estimators_]) / scaler.scale_
    bias = np.concatenate([one.intercept_ for one in regression.estimators_]) - weight @ scaler.mean_
    with torch.no_grad():
        model.head.weight[known] = torch.from_numpy(weight).float().to(model.head.weight.device)
        model.head.bias[known] = torch.from_numpy(bias).float().to(model.head.bias.device)


@torch.inference_mode()
def probe_probabilities(
    model: VABClassifier, features: Float[Tensor, "clips D"]
) -> Float[Tensor, "clips classes"]:
    """What the head says of clips whose features are known, on the CPU."""
    return model.head(features.to(model.head.weight.device)).sigmoid().cpu()
