"""What a system's sounds are worth: when things happen, how their level and brightness go, what they sound like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tasks.demo.ruler.classifier import ClassJudge
from tasks.demo.ruler.material import RulerClip
from tasks.demo.world import FPS
from vab.metrics.onsets import OnsetScores, detect_onsets, onset_scores
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
CENTROID_WINDOW = 2048


def score(
    waveforms: Sequence[Float[Tensor, "1 L"]],
    clips: Sequence[RulerClip],
    sample_rate: int,
    judge: ClassJudge,
) -> dict[str, Any]:
    """All scores of one system's sounds, over the clips with one visible source.

    Returns:
        ``f1_50ms`` and ``f1_100ms`` of onsets against true event times (impacts), ``loudness`` and ``brightness``:
        mean correlations over time with the true level and pitch (continuous sounds and textures), ``class``: share
        the judge takes for what they should be, and ``class_by_kind``; and how many clips each comes from.
    """
    chosen = [(waveform, clip) for waveform, clip in zip(waveforms, clips, strict=True) if clip.source]
    impacts = [(waveform, clip) for waveform, clip in chosen if _kind(clip) == "impact"]
    lasting = [(waveform, clip) for waveform, clip in chosen if _kind(clip) != "impact"]
    pitched = [(waveform, clip) for waveform, clip in lasting if clip.label in BRIGHTNESS_CLASSES]
    detected = [(detect_onsets(waveform, sample_rate), clip.event_times) for waveform, clip in impacts]
    result: dict[str, Any] = {}
    for window in WINDOWS:
        counts = sum(
            (onset_scores(found, true, window=window) for found, true in detected), start=OnsetScores(0, 0, 0)
        )
        result[f"f1_{window * 1000:.0f}ms"] = counts.f1
    result["loudness"] = _mean(
        correlation(loudness_course(waveform, sample_rate), _state(clip, "level"))
        for waveform, clip in lasting
    )
    result["brightness"] = _mean(
        correlation(brightness_course(waveform, sample_rate), np.log(_state(clip, "pitch_hz") + 1))
        for waveform, clip in pitched
    )
    heard = judge.predict([waveform for waveform, _ in chosen])
    is_right = [said == clip.label for said, (_, clip) in zip(heard, chosen, strict=True)]
    kinds = [_kind(clip) for _, clip in chosen]
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


def loudness_course(waveform: Float[Tensor, "1 L"], sample_rate: int) -> np.ndarray:
    """RMS around each video frame [F]."""
    hop = sample_rate // FPS
    padded = torch.nn.functional.pad(waveform[0], (hop, hop))
    course: np.ndarray = padded.unfold(0, 2 * hop, hop).square().mean(dim=1).sqrt().numpy()
    return course


def brightness_course(waveform: Float[Tensor, "1 L"], sample_rate: int) -> np.ndarray:
    """Logarithm of the spectral centroid around each video frame [F]."""
    window = torch.hann_window(CENTROID_WINDOW)
    spectrum = torch.stft(
        waveform[0], CENTROID_WINDOW, sample_rate // FPS, window=window, return_complex=True
    ).abs()
    hertz = torch.linspace(0, sample_rate / 2, len(spectrum))[:, None]
    course: np.ndarray = ((spectrum * hertz).sum(dim=0) / (spectrum.sum(dim=0) + 1e-6) + 1).log().numpy()
    return course


def correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Pearson's over the common length; 0 where either does not move."""
    length = min(len(ours), len(theirs))
    ours, theirs = ours[:length], theirs[:length]
    if ours.std() < 1e-9 or theirs.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(ours, theirs)[0, 1])


def _kind(clip: RulerClip) -> str:
    return str(clip.truth["sources"][0]["kind"])


def _state(clip: RulerClip, name: str) -> np.ndarray:
    return np.asarray(clip.truth["sources"][0]["state"][name], dtype=float)


def _mean(values: Any) -> float:
    return float(np.mean([float(value) for value in values] or [np.nan]))
