"""Sudden beginnings in sound: how strong, when, and how many of the true ones were met.

Two numbers decide an onset score and are never one: the ``threshold`` in dB above which the detector speaks, and the
``window`` in seconds within which a detection meets a true event.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cache
from operator import add

import numpy as np
import torch
import torchaudio
from scipy.ndimage import maximum_filter1d, median_filter
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from vab.shapes import Float, Tensor

CURVE_RATE = 100
"""Values of an onset curve a second."""
MAX_STRENGTH = 50.0
"""dB. What is softer than the loudest band by more is hiss or codec noise; no onset is counted from there."""
DEFAULT_THRESHOLD = 4.0
"""dB. Steady noise rises by about 3 at most; a strike over a clean background by 10 and more."""
DEFAULT_WINDOW = 0.05
"""Seconds either side, as in onset detection since MIREX."""

# One rate for every sound, so that a system is not measured by its bandwidth: the rate of the paper's codecs.
_RATE = 16_000
_HOP = _RATE // CURVE_RATE
_WINDOW_LENGTH = 512
_NUM_MELS = 40
# Rise is measured over two hops: a window's length is 3.2, so one hop would see half of a sharp attack.
_LAG = 2
# In absolute terms, below full scale: dither in a silent clip cannot make onsets either.
_SILENCE_DB = -90.0
# Hops either side in which a peak is the highest, and in which the background is measured.
_PEAK_RADIUS = 3
_BACKGROUND_RADIUS = 10


def onset_strength(waveform: Float[Tensor, "1 L"], sample_rate: int) -> Float[Tensor, " T"]:
    """Rise of level in dB over 20 ms, mean over mel bands, 100 values a second; value t stands at t / 100 seconds.

    Spectral flux with a maximum filter over neighbouring bands, which keeps vibrato quiet (Boeck and Widmer, DAFx
    2013). Louder or softer playing of the same clip changes nothing. Sound too short for one window has no rise.
    """
    if sample_rate != _RATE:
        waveform = torchaudio.functional.resample(waveform, sample_rate, _RATE)
    num_values = waveform.shape[1] // _HOP
    if waveform.shape[1] <= _WINDOW_LENGTH:
        return torch.zeros(num_values)
    window = torch.hann_window(_WINDOW_LENGTH)
    spectrum = torch.stft(waveform[0].float(), _WINDOW_LENGTH, _HOP, window=window, return_complex=True)
    # A sine at full scale has power 1, whatever the window.
    power = _mel_filters() @ (spectrum[:, :num_values].abs() * (4 / _WINDOW_LENGTH)).square()
    floor = max(power.max().item() * 10 ** (-MAX_STRENGTH / 10), 10 ** (_SILENCE_DB / 10))
    level = 10 * (power + floor).log10()
    before = torch.from_numpy(maximum_filter1d(level[:, :-_LAG].numpy(), 3, axis=0))
    rise = (level[:, _LAG:] - before).clamp_min(0).mean(dim=0)
    return torch.cat([torch.zeros(num_values - len(rise)), rise])


def detect_onsets(
    waveform: Float[Tensor, "1 L"], sample_rate: int, *, threshold: float = DEFAULT_THRESHOLD
) -> Float[Tensor, " n"]:
    """Times in seconds, ascending float64, where :func:`onset_strength` peaks ``threshold`` dB above its surroundings.

    Silence and steady sound have none. Two events within 30 ms are one.
    """
    return find_peaks(onset_strength(waveform, sample_rate), threshold=threshold)


def find_peaks(strength: Float[Tensor, " T"], *, threshold: float = DEFAULT_THRESHOLD) -> Float[Tensor, " n"]:
    """Times in seconds of an onset curve's peaks: see :func:`detect_onsets`."""
    if not len(strength):
        return torch.zeros(0, dtype=torch.float64)
    curve = strength.double().numpy()
    background = median_filter(curve, 2 * _BACKGROUND_RADIUS + 1, mode="nearest")
    is_peak = (curve == maximum_filter1d(curve, 2 * _PEAK_RADIUS + 1)) & (curve - background >= threshold)
    # Of equal neighbours only the first is a peak.
    is_peak[1:] &= curve[1:] > curve[:-1]
    return torch.from_numpy(np.flatnonzero(is_peak) / CURVE_RATE)


def match_events(
    detected: Float[Tensor, " n"], true: Float[Tensor, " m"], *, window: float = DEFAULT_WINDOW
) -> int:
    """Pairs of a detected and a true time at most ``window`` seconds apart, each used once, as many as can be.

    The size of a maximum bipartite matching, as in mir_eval.
    """
    fits = (detected.double()[:, None] - true.double()).abs() <= window
    return int((maximum_bipartite_matching(csr_array(fits.numpy())) >= 0).sum())


@dataclass(frozen=True)
class OnsetScores:
    """Counts of one clip, or of several when added; the scores follow from the counts."""

    num_detected: int
    num_true: int
    num_matched: int

    @property
    def precision(self) -> float:
        """Share of the detections that meet a true event; 1 where nothing was detected in nothing, else 0."""
        return self._share(self.num_detected)

    @property
    def recall(self) -> float:
        """Share of the true events that were met; 1 where nothing was to be found nor detected, else 0."""
        return self._share(self.num_true)

    @property
    def f1(self) -> float:
        """Harmonic mean of the two, from the counts."""
        total = self.num_detected + self.num_true
        return 2 * self.num_matched / total if total else 1.0

    def __add__(self, other: OnsetScores) -> OnsetScores:
        return OnsetScores(*map(add, astuple(self), astuple(other)))

    def _share(self, count: int) -> float:
        return self.num_matched / count if count else float(self.num_detected == self.num_true)


def onset_scores(
    detected: Float[Tensor, " n"], true: Float[Tensor, " m"], *, window: float = DEFAULT_WINDOW
) -> OnsetScores:
    """Precision, recall and F1 of detected times against true ones, both in seconds."""
    return OnsetScores(len(detected), len(true), match_events(detected, true, window=window))


def event_scores(
    waveform: Float[Tensor, "1 L"],
    sample_rate: int,
    times: Float[Tensor, " m"],
    *,
    threshold: float = DEFAULT_THRESHOLD,
    window: float = DEFAULT_WINDOW,
) -> OnsetScores:
    """Onsets detected in a sound against known event times in seconds; the package's only event F1.

    Adding the scores of clips pools their counts; :class:`vab.metrics.scorers.EventScorer` gives means over clips.
    """
    return onset_scores(detect_onsets(waveform, sample_rate, threshold=threshold), times, window=window)


def onset_average_precision(
    detected: Float[Tensor, " n"],
    confidence: Float[Tensor, " n"],
    true: Float[Tensor, " m"],
    *,
    window: float = DEFAULT_WINDOW,
) -> float:
    """Area under precision over recall as the detector's threshold falls; true events never found count as missed.

    Each detection, surest first, takes the nearest true event within ``window`` that is still free (CondFoleyGen,
    CVPR 2023). With no true event it is 1 where nothing was detected, else 0.
    """
    free = true.tolist()
    if not free:
        return float(not len(detected))
    precisions: list[float] = []
    for rank, index in enumerate(confidence.argsort(descending=True, stable=True).tolist(), start=1):
        nearest = min(free, key=lambda time: abs(time - detected[index].item()), default=None)
        if nearest is not None and abs(nearest - detected[index].item()) <= window:
            free.remove(nearest)
            precisions.append((len(precisions) + 1) / rank)
    return sum(precisions) / len(true)


@cache
def _mel_filters() -> Tensor:
    """Mel bands [M, bins] from 60 Hz, under which rumble lives, to the top."""
    return torchaudio.functional.melscale_fbanks(
        _WINDOW_LENGTH // 2 + 1, f_min=60.0, f_max=_RATE / 2, n_mels=_NUM_MELS, sample_rate=_RATE
    ).T
