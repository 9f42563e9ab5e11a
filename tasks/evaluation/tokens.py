"""``vab evaluate tokens``: what the frames add to the prediction of masked codes."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import torch
from rich.table import Table

import vab
from tasks.console import console, progress_bar
from tasks.evaluation.options import TokensOptions
from vab import __version__
from vab.errors import StoreError
from vab.features.dataset import FeatureDataset
from vab.features.sampler import mixed_seed
from vab.features.store import FeatureStore
from vab.files import check_outputs, write_atomically
from vab.objectives.masked_prediction import MaskedPrediction
from vab.objectives.options import MaskedPredictionOptions


def run(options: TokensOptions) -> int:
    """Print a table, write JSON if asked."""
    if options.output:
        check_outputs([options.output], options.store.rglob("*"))
    store = FeatureStore(options.store)
    pipeline = vab.load(options.weights, device=options.device)
    pipeline.card.check_store(store)
    indices = store.select(split=options.split)
    if not len(indices):
        raise StoreError(
            f"{options.store} has no clips in split {options.split!r}; it has: {', '.join(store.splits)}"
        )
    config = pipeline.model.config
    data = FeatureDataset(
        store,
        indices,
        num_codebooks=config.num_codebooks,
        visual_fps=config.visual_fps,
        crop_seconds=pipeline.card.window_seconds,
    )
    objective = MaskedPrediction(pipeline.model, MaskedPredictionOptions())
    values: dict[str, list[float]] = defaultdict(list)
    sizes: list[int] = []
    with progress_bar("clips") as progress:
        task = progress.add_task("predicting", total=len(data))
        for start in range(0, len(data), options.batch_size):
            items = [(index, 0) for index in range(start, min(start + options.batch_size, len(data)))]
            batch = data.__getitems__(items).to(pipeline.device)
            generator = torch.Generator().manual_seed(mixed_seed(options.seed, start))
            for name, value in objective.evaluate(batch, generator=generator).items():
                values[name].append(value.item())
            sizes.append(len(items))
            progress.advance(task, len(items))
    metrics = {name: float(np.average(numbers, weights=sizes)) for name, numbers in values.items()}
    for prefix in ("", "all_masked/"):
        pairs = (values[f"{prefix}accuracy_{way}_vision"] for way in ("with", "without"))
        if len(sizes) > 1:
            metrics[f"{prefix}accuracy_gain_error"] = _standard_error(np.subtract(*map(np.array, pairs)))
    for prefix, what in (
        ("all_masked/", "all codes masked, as generation begins"),
        ("", "masked by the paper's ratios"),
    ):
        chosen = {
            name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)
        }
        codebooks = range(config.num_given_codebooks, config.num_codebooks)
        _show(chosen, codebooks, f"{what}: {len(data)} clips of {options.store.name}/{options.split}")
    if options.output:
        document = {
            "metrics": metrics,
            "store": options.store.name,
            "split": options.split,
            "num_clips": len(data),
            "clip_seconds": data.seconds,
            "visual_fps": config.visual_fps,
            "frame_rate": config.frame_rate,
            "chance": 1 / config.codebook_size,
            "seed": options.seed,
            "command": f"vab evaluate tokens --weights {options.weights} --split {options.split}",
            "device": str(pipeline.device),
            "vab": __version__,
            **pipeline.provenance,
        }
        write_atomically(options.output, json.dumps(document, indent=2) + "\n")
    return 0


def _standard_error(gains: np.ndarray) -> float:
    """Of the mean of what the frames add, from its spread over batches."""
    return float(gains.std(ddof=1) / np.sqrt(len(gains)))


def _show(metrics: dict[str, float], codebooks: range, title: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("", "with vision", "without"):
        table.add_column(column, justify="left" if not column else "right")
    rows = [(f"accuracy, codebook {codebook}", f"/codebook_{codebook}") for codebook in codebooks]
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
