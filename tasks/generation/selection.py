"""Best of several soundtracks by a contrastive model: MaskVAT's beam selection (ECCV 2024) with our own embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchaudio

import vab
from vab.pipeline import Generation


@dataclass(frozen=True)
class Choice:
    """Which of several soundtracks of one video was kept, and why."""

    index: int
    agreements: list[float]
    """Cosine of sound and pictures, of every candidate in the order of their seeds."""


class AgreementSelector:
    """Chooses the soundtrack whose embedding is nearest to that of the pictures."""

    def __init__(self, weights: str, *, device: str = "auto") -> None:
        """Load the embedder.

        Args:
            weights: of ``vab adapt``.
            device: auto, cpu or cuda.

        Raises:
            WeightsError: absent or damaged weights.
        """
        self._pipeline = vab.load(weights, device=device)

    @property
    def provenance(self) -> dict[str, Any]:
        """Its weights, for the JSON beside a result: what was chosen by them must not be measured by them."""
        return self._pipeline.provenance

    def choose(self, video: Path, seconds: float, candidates: list[Generation]) -> Choice:
        """The candidate that agrees best with the first ``seconds`` of the video; the first of equals.

        Raises:
            MediaError: the video cannot be read.
        """
        pictures = self._pipeline.encode_video(video, duration=seconds)
        rate = self._pipeline.codec.sample_rate
        agreements = []
        for candidate in candidates:
            sound = torchaudio.functional.resample(candidate.waveform, candidate.sample_rate, rate)
            agreements.append(self._pipeline.agreement(sound, pictures))
        return Choice(agreements.index(max(agreements)), agreements)
