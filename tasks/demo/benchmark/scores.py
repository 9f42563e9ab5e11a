"""What a system's sounds score: event F1, correlation of level and brightness over time, share of right classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tasks.demo.benchmark.classifier import ReferenceClassifier
from tasks.demo.benchmark.material import BenchmarkClip
from tasks.demo.world import FPS
from vab.metrics.curves import brightness_curve, correlation, level_curve
from vab.metrics.onsets import OnsetScores, event_scores
from vab.shapes import Float, Tensor

WINDOWS = (0.05, 0.1)
"""Seconds either side within which a generated event meets a true one."""
SHOWN = {
    "f1_50ms": "F1\n50 ms",
    "f1_100ms": "F1\n100 ms",
    "loudness": "loud-\nness r",
    "brightness": "bright-\nness r",
    "class": "class",
}
"""What tables of several systems show, and the heads of its columns."""
BRIGHTNESS_CLASSES = ("engine", "siren", "fan", "pouring", "wind")
"""Continuous sounds whose pitch is heard as brightness: the spectral centroid of the true sound follows it."""


def score(
    waveforms: Sequence[Float[Tensor, "1 L"]],
    clips: Sequence[BenchmarkClip],
    sample_rate: int,
    classifier: ReferenceClassifier,
) -> dict[str, Any]:
    """All scores of one system's sounds, over the clips with one visible source.

    Returns:
        ``f1_50ms`` and ``f1_100ms`` of onsets against true event times, all events of all clips pooled (impacts),
        ``loudness`` and ``brightness``: mean correlations over time with the true level and pitch (continuous sounds
        and textures), ``class``: share that the reference classifier gives their true class, ``class_by_kind``, and
        ``num_clips`` of each.
    """
    chosen = [(waveform, clip) for waveform, clip in zip(waveforms, clips, strict=True) if clip.source]
    impacts = [(waveform, clip) for waveform, clip in chosen if clip.kind == "impact"]
    lasting = [(waveform, clip) for waveform, clip in chosen if clip.kind != "impact"]
    pitched = [(waveform, clip) for waveform, clip in lasting if clip.label in BRIGHTNESS_CLASSES]
    result: dict[str, Any] = {}
    for window in WINDOWS:
        met = (
            event_scores(waveform, sample_rate, clip.event_times, window=window) for waveform, clip in impacts
        )
        result[f"f1_{window * 1000:.0f}ms"] = sum(met, start=OnsetScores(0, 0, 0)).f1
    result["loudness"] = _mean(
        _correlation(level_curve(waveform, sample_rate, rate=FPS), clip.state("level"))
        for waveform, clip in lasting
    )
    result["brightness"] = _mean(
        _correlation(brightness_curve(waveform, sample_rate, rate=FPS), (clip.state("pitch_hz") + 1).log())
        for waveform, clip in pitched
    )
    predicted = classifier.predict([waveform for waveform, _ in chosen])
    is_right = [label == clip.label for label, (_, clip) in zip(predicted, chosen, strict=True)]
    kinds = [clip.kind for _, clip in chosen]
    result["class"] = _mean(is_right)
    result["class_by_kind"] = {
        kind: _mean(right for right, its_kind in zip(is_right, kinds, strict=True) if its_kind == kind)
        for kind in sorted(set(kinds))
    }
    result["num_clips"] = {
        "f1": len(impacts),
        "loudness": len(lasting),
        "brightness": len(pitched),
        "class": len(chosen),
    }
    return result


def _correlation(ours: Float[Tensor, " T"], theirs: Float[Tensor, " U"]) -> float:
    """Over the common length: a curve around the frames has one value more than there are frames."""
    length = min(len(ours), len(theirs))
    return correlation(ours[:length], theirs[:length])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([float(value) for value in values] or [np.nan]))
