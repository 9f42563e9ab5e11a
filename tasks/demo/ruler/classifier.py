"""What does it sound like? A judge of classes that has heard real Foley sound, never a model's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tasks.pictures import log_mel
from vab.shapes import Float, Tensor

NUM_MELS = 40
FLOOR_DB = -55.0
"""Below it all is silence: room tone, and what a codec makes of it, tell nothing of the class."""
FRAMES_A_SECOND = 100
MODULATION_HZ = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Edges of the bands in which the beat of the loudness is measured."""


def describe(waveform: Float[Tensor, "1 L"], sample_rate: int) -> np.ndarray:
    """Statistics of a sound [P]: spectrum (level, spread, softest and loudest), its movement, its beat."""
    level = log_mel(waveform, sample_rate, num_mels=NUM_MELS).clamp_min(FLOOR_DB)
    ranks = torch.quantile(level, torch.tensor([0.1, 0.5, 0.9, 0.99]), dim=1)
    movement = level.diff(dim=1).abs().mean(dim=1)
    loudness = level.mean(dim=0)
    beat = torch.fft.rfft(loudness - loudness.mean()).abs().square() / len(loudness) ** 2
    hertz = torch.fft.rfftfreq(len(loudness), 1 / FRAMES_A_SECOND)
    bands = [
        beat[(hertz >= low) & (hertz < high)].sum().add(1e-3).log10() for low, high in pairwise(MODULATION_HZ)
    ]
    return torch.cat([level.mean(dim=1), level.std(dim=1), *ranks, movement, torch.stack(bands)]).numpy()


class ClassJudge:
    """A support vector machine on statistics of sounds.

    It learns from real sounds as they are and as the codec renders them, or it would judge the codec's accent.
    """

    def __init__(self, waveforms: Float[Tensor, "N L"], labels: Sequence[str], sample_rate: int) -> None:
        """Learn from real sounds.

        Args:
            waveforms: true sounds of training scenes, and the same through the codec.
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
