"""The reference classifier: which class a sound is of, learnt from true sounds of Foley world."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from vab.metrics.spectra import LOG_MEL_RATE, log_mel
from vab.shapes import Float, Tensor

NUM_BANDS = 40
MODULATION_HZ = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Edges of the bands in which modulation of the level is measured."""


def describe(waveform: Float[Tensor, "1 L"], sample_rate: int) -> np.ndarray:
    """Statistics of a sound's log-mel spectrogram [P]: level, spread, quantiles, change and modulation."""
    level = log_mel(waveform, sample_rate, num_bands=NUM_BANDS)
    quantiles = torch.quantile(level, torch.tensor([0.1, 0.5, 0.9, 0.99]), dim=1)
    change = level.diff(dim=1).abs().mean(dim=1)
    mean_level = level.mean(dim=0)
    power = torch.fft.rfft(mean_level - mean_level.mean()).abs().square() / len(mean_level) ** 2
    hertz = torch.fft.rfftfreq(len(mean_level), 1 / LOG_MEL_RATE)
    modulation = [
        power[(hertz >= low) & (hertz < high)].sum().add(1e-3).log10()
        for low, high in pairwise(MODULATION_HZ)
    ]
    return torch.cat(
        [level.mean(dim=1), level.std(dim=1), *quantiles, change, torch.stack(modulation)]
    ).numpy()


class ReferenceClassifier:
    """A support vector machine on statistics of sounds, fitted on true sounds and on their reconstructions."""

    def __init__(self, waveforms: Float[Tensor, "N L"], labels: Sequence[str], sample_rate: int) -> None:
        """Fit.

        Args:
            waveforms: true sounds of training scenes, and the same through the codec, so that the codec's artefacts
                decide no class.
            labels: their classes.
            sample_rate: of these and of all later sounds.
        """
        self.sample_rate = sample_rate
        self.model = make_pipeline(StandardScaler(), SVC(C=10.0, gamma=0.003))
        self.model.fit(self._describe([waveform[None] for waveform in waveforms]), list(labels))

    def predict(self, waveforms: Sequence[Float[Tensor, "1 L"]]) -> list[str]:
        """The class of each sound."""
        return [str(label) for label in self.model.predict(self._describe(waveforms))]

    def _describe(self, waveforms: Sequence[Tensor]) -> np.ndarray:
        return np.stack([describe(waveform, self.sample_rate) for waveform in waveforms])
