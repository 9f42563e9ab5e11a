"""``vab evaluate tokens``: what the frames add to the prediction of masked codes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import sem

import vab
from tasks.console import console, numbers_table, track
from tasks.evaluation.options import TokensOptions
from tasks.options import command_line
from tasks.record import conditions, of_pipeline, write_record
from vab.errors import StoreError, WeightsError
from vab.features.dataset import FeatureDataset
from vab.features.sampler import mixed_seed
from vab.features.store import FeatureStore
from vab.files import check_outputs
from vab.models import find_model
from vab.objectives.masked_prediction import MaskedPrediction
from vab.objectives.options import MaskedPredictionOptions
from vab.pipeline import Pipeline

ALL_MASKED = "all_masked/"
"""Prefix of the metrics with all codes masked."""


@dataclass(frozen=True)
class TokenReport:
    """What was measured on how many clips."""

    metrics: dict[str, float]
    num_clips: int
    clip_seconds: float


def run(options: TokensOptions) -> int:
    """Print a table, write JSON if asked."""
    if options.output:
        check_outputs([options.output], options.store.rglob("*"))
    store = FeatureStore(options.store)
    pipeline = vab.load(options.weights, device=options.device)
    report = measure(pipeline, store, options)
    config = pipeline.model.config
    codebooks = range(config.num_given_codebooks, config.num_codebooks)
    clips = f"{options.store.name}/{options.split}"
    for prefix, what in (
        (ALL_MASKED, "all codes masked, as generation begins"),
        ("", "masked by the paper's ratios"),
    ):
        chosen = {
            name.removeprefix(prefix): value
            for name, value in report.metrics.items()
            if name.startswith(prefix)
        }
        _show(chosen, codebooks, f"{what}: {report.num_clips} clips of {clips}")
    if options.output:
        measured = conditions(
            clips=clips,
            num_clips=report.num_clips,
            clip_seconds=report.clip_seconds,
            seed=options.seed,
            command=command_line("evaluate tokens", options),
            **of_pipeline(pipeline),
        )
        chance = 1 / config.codebook_size
        write_record(options.output, "tokens", {"metrics": report.metrics, "chance": chance}, measured)
    return 0


def measure(pipeline: Pipeline, store: FeatureStore, options: TokensOptions) -> TokenReport:
    """Means over clips of what the objective's ``evaluate`` gives, and the standard error of the gain in accuracy.

    Raises:
        WeightsError: the model does not predict masked codes.
        StoreError: the store is of another codec or encoder, or has no clips in the split.
    """
    if not predicts_masked(pipeline):
        raise WeightsError(
            f"{options.weights}: a {pipeline.card.type!r} does not predict masked codes; "
            "give the weights of a vab, a vab-refiner or a maskvat"
        )
    streams: dict[str, float | None] = {"codes": None, **pipeline.condition_rates}
    pipeline.card.check_store(store, streams)
    indices = store.select(split=options.split, streams=streams)
    if not indices:
        raise StoreError(
            f"{store.path} has no clips in split {options.split!r}; it has: {', '.join(store.splits)}"
        )
    data = FeatureDataset(
        store,
        indices,
        num_codebooks=pipeline.model.config.num_codebooks,
        streams=streams,
        crop_seconds=pipeline.card.window_seconds,
    )
    objective = MaskedPrediction(pipeline.model, MaskedPredictionOptions())
    values: dict[str, list[float]] = defaultdict(list)
    sizes: list[int] = []
    for batch in track(data.batches(options.batch_size), "predicting", total=len(data), size=len):
        generator = torch.Generator().manual_seed(mixed_seed(options.seed, sum(sizes)))
        for name, value in objective.evaluate(batch.to(pipeline.device), generator=generator).items():
            values[name].append(value.item())
        sizes.append(len(batch))
    metrics = {name: float(np.average(numbers, weights=sizes)) for name, numbers in values.items()}
    for prefix in ("", ALL_MASKED):
        if len(sizes) > 1:
            gains = np.subtract(
                values[f"{prefix}accuracy_with_vision"], values[f"{prefix}accuracy_without_vision"]
            )
            metrics[f"{prefix}accuracy_gain_error"] = float(sem(gains))
    return TokenReport(metrics, len(data), data.seconds)


def predicts_masked(pipeline: Pipeline) -> bool:
    """Whether a model's accuracy on masked codes can be measured."""
    objective = find_model(pipeline.card.type).objective
    return objective is not None and issubclass(objective, MaskedPrediction)


def _show(metrics: dict[str, float], codebooks: range, title: str) -> None:
    table = numbers_table(title, "", "with vision", "without")
    rows = [(f"accuracy, codebook {index}", f"/codebook_{index}") for index in codebooks]
    for name, suffix in [*rows, ("accuracy, all", "")]:
        with_vision, without = (metrics[f"accuracy_{way}_vision{suffix}"] for way in ("with", "without"))
        table.add_row(name, f"{with_vision:.2%}", f"{without:.2%}")
    table.add_row("loss, nats", f"{metrics['loss_with_vision']:.3f}", f"{metrics['loss_without_vision']:.3f}")
    console.print(table)
    gain = metrics["accuracy_with_vision"] - metrics["accuracy_without_vision"]
    error = (
        f" ± {196 * metrics['accuracy_gain_error']:.2f} (95 %)" if "accuracy_gain_error" in metrics else ""
    )
    console.print(f"the frames add {100 * gain:+.2f}{error} points of accuracy")
