"""``vab evaluate tokens``: what the frames add to the prediction of hidden codes."""

from __future__ import annotations

import json
from collections import defaultdict

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
from vab.models.vab.objective import MaskedPrediction
from vab.models.vab.options import MaskedPredictionOptions
from vab.weights import write_atomically


def run(options: TokensOptions) -> int:
    """Print a table, write JSON if asked."""
    store = FeatureStore(options.store)
    pipeline = vab.load(options.weights, device=options.device)
    for kind, here, wanted in (
        ("codec", store.info.codec.fingerprint, pipeline.card.codec.fingerprint),
        ("encoder", store.info.encoder.fingerprint, pipeline.card.encoder.fingerprint),
    ):
        if here != wanted:
            raise StoreError(
                f"{options.store} was made with {kind} {here}, {options.weights} goes with {wanted}"
            )
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
    sums: dict[str, float] = defaultdict(float)
    with progress_bar("clips") as progress:
        task = progress.add_task("predicting", total=len(data))
        for start in range(0, len(data), options.batch_size):
            items = [(index, 0) for index in range(start, min(start + options.batch_size, len(data)))]
            batch = data.__getitems__(items).to(pipeline.device)
            generator = torch.Generator().manual_seed(mixed_seed(options.seed, start))
            for name, value in objective.evaluate(batch, generator=generator).items():
                sums[name] += value.item() * len(items)
            progress.advance(task, len(items))
    metrics = {name: total / len(data) for name, total in sums.items()}
    for prefix, what in (
        ("all_hidden/", "all codes hidden, as generation begins"),
        ("", "hidden by the paper's ratios"),
    ):
        chosen = {
            name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)
        }
        _show(
            chosen, config.num_codebooks, f"{what}: {len(data)} clips of {options.store.name}/{options.split}"
        )
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


def _show(metrics: dict[str, float], num_levels: int, title: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("", "with vision", "without"):
        table.add_column(column, justify="left" if not column else "right")
    rows = [(f"accuracy, level {level}", f"/level_{level}") for level in range(num_levels)]
    for name, suffix in [*rows, ("accuracy, all", "")]:
        with_vision, without = (metrics[f"accuracy_{way}_vision{suffix}"] for way in ("with", "without"))
        table.add_row(name, f"{with_vision:.2%}", f"{without:.2%}")
    table.add_row("loss, nats", f"{metrics['loss_with_vision']:.3f}", f"{metrics['loss_without_vision']:.3f}")
    console.print(table)
