"""Scores of a run on the screen and on disk: a table, metrics.json, classes.csv, the confusion picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.classification.metrics import Scores, confusions, score
from tasks.classification.predictions import Predictions
from tasks.console import console, numbers_table, say
from vab.files import write_atomically
from vab.pictures import new_figure, png

METRICS = {
    "accuracy": "accuracy",
    "mean_average_precision": "mAP",
    "auc": "AUC",
    "d_prime": "d'",
}
MOST_CLASSES_NAMED = 60
"""More class names than this cannot be read in a picture."""
MOST_CLASSES_COUNTED = 25
"""More numbers a row than this cannot either."""


def report(
    folds: Mapping[str, Predictions], out: Path, *, is_multilabel: bool, title: str, facts: Mapping[str, Any]
) -> None:
    """Measure each fold, print a table, and write ``metrics.json`` with ``facts`` and ``classes.csv``.

    Where clips have one class, ``confusion.png`` as well.
    """

    def scored(one: Predictions) -> Scores:
        return score(one.probabilities, one.targets, one.names, is_multilabel=is_multilabel)

    scores = {name: scored(one) for name, one in folds.items()}
    everything = concatenated(list(folds.values()))
    overall = scored(everything)
    _print(scores, title)
    if overall.without_positives:
        say(
            f"{len(overall.without_positives)} of {len(overall.classes)} classes have no test clip and are in no "
            f"mean (such as {overall.without_positives[0]})"
        )
    document = {
        "benchmark": "classification",
        "mean": _finite(_over_folds(scores, np.mean)),
        "standard_deviation": _finite(_over_folds(scores, np.std)),
        "folds": {
            name: {"num_clips": one.num_clips, **_finite({key: getattr(one, key) for key in METRICS})}
            for name, one in scores.items()
        },
        "num_clips": overall.num_clips,
        "num_classes": len(overall.classes),
        "classes_without_test_clips": list(overall.without_positives),
        **facts,
    }
    write_atomically(out / "metrics.json", json.dumps(document, indent=2) + "\n")
    write_atomically(out / "classes.csv", _classes_csv(overall))
    if not is_multilabel:
        draw_confusions(everything, out / "confusion.png")


def concatenated(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several folds as one."""
    return Predictions(
        tuple(id for part in parts for id in part.ids),
        parts[0].names,
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.targets for part in parts]),
    )


def draw_confusions(predictions: Predictions, path: Path) -> None:
    """Rows are the true classes, columns the predicted ones, shades the share of a row."""
    counts = confusions(predictions.probabilities, predictions.targets)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    size = len(counts)
    side = min(16.0, 4.0 + 0.45 * size)
    figure, [axes] = new_figure(1, width=side, row_height=side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if size <= MOST_CLASSES_NAMED:
        axes.set_xticks(range(size), predictions.names, rotation=90, fontsize=8)
        axes.set_yticks(range(size), predictions.names, fontsize=8)
    if size <= MOST_CLASSES_COUNTED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=shade, fontsize=8)
    write_atomically(path, png(figure, dpi=110))


def _print(scores: Mapping[str, Scores], title: str) -> None:
    table = numbers_table(title, "", "clips", *METRICS.values())
    for name, one in scores.items():
        table.add_row(name or "test", str(one.num_clips), *(_cell(key, getattr(one, key)) for key in METRICS))
    if len(scores) > 1:
        table.add_section()
        mean, spread = _over_folds(scores, np.mean), _over_folds(scores, np.std)
        table.add_row(
            "mean",
            str(sum(one.num_clips for one in scores.values())),
            *(_cell(key, mean[key]) for key in METRICS),
        )
        table.add_row("± over folds", "", *(_cell(key, spread[key]) for key in METRICS))
    console.print(table)


def _cell(key: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{100 * value:.1f} %" if key == "accuracy" else f"{value:.3f}"


def _over_folds(scores: Mapping[str, Scores], how: Any) -> dict[str, float | None]:
    values = {key: [getattr(one, key) for one in scores.values()] for key in METRICS}
    with np.errstate(invalid="ignore"):  # d' may be infinite
        return {key: None if None in all_ else float(how(all_)) for key, all_ in values.items()}


def _finite(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON has no infinity, which d' is at an AUC of 1."""
    return {
        name: value if value is not None and math.isfinite(value) else None for name, value in values.items()
    }


def _classes_csv(scores: Scores) -> str:
    names = {"name": "class", "num_positives": "clips"}
    table = pd.DataFrame(map(asdict, scores.classes)).rename(columns=names)
    return table.to_csv(index=False, float_format="%.4f", lineterminator="\n")
