"""Training of a small S3D: how far sound and frames of a clip are apart, as SparseSync's was trained to tell.

SparseSync classifies the offset with a transformer over both; a small world does with less. Frames and sound become a
vector each at every frame's time, and an offset's score is the mean cosine of the two sequences that far apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio
from torch import nn
from torch.utils.data import Dataset

from vab.shapes import Float, Int, Tensor
from vab.visual.s3d import MEAN, S3D, STD

NUM_MELS = 64
EMBED_DIM = 64


@dataclass(frozen=True)
class FramesAndSound:
    """Pieces of clips, and by how much their sound begins early."""

    frames: Tensor
    """uint8 [B, F, 3, size, size]."""
    waveform: Float[Tensor, "B L"]
    """Longer than the frames by ``max_offset`` of them at either end."""
    place: Int[Tensor, " B"]
    """Frames of sound before the first frame's own, 0 to 2 ``max_offset``: what is to be told."""

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device: torch.device | str) -> FramesAndSound:
        """The same on another device."""
        return FramesAndSound(self.frames.to(device), self.waveform.to(device), self.place.to(device))


class SyncClips(Dataset[FramesAndSound]):
    """A piece of a clip and its sound, out of step by what the request's seed says."""

    def __init__(
        self,
        frames: np.ndarray,
        waveforms: np.ndarray,
        samples_per_frame: int,
        num_frames: int,
        max_offset: int,
    ) -> None:
        """Wrap decoded clips.

        Args:
            frames: uint8 [clips, F, size, size, 3], in memory or memory-mapped.
            waveforms: int16 [clips, L].
            samples_per_frame: of the waveforms.
            num_frames: of a piece.
            max_offset: largest offset, in frames.
        """
        self.frames, self.waveforms = frames, waveforms
        self.samples_per_frame, self.num_frames, self.max_offset = samples_per_frame, num_frames, max_offset

    def __len__(self) -> int:
        return len(self.frames)

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> FramesAndSound:
        """Pieces for (clip, seed) pairs."""
        frames, sounds, places = [], [], []
        margin, hop = 2 * self.max_offset, self.samples_per_frame
        for index, seed in requests:
            generator = np.random.default_rng(seed)
            place = int(generator.integers(margin + 1))
            first = int(generator.integers(margin, self.frames.shape[1] - self.num_frames - margin + 1))
            frames.append(self.frames[index, first : first + self.num_frames])
            heard = (first - place) * hop
            sounds.append(self.waveforms[index, heard : heard + (self.num_frames + margin) * hop])
            places.append(place)
        return FramesAndSound(
            torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3),
            torch.from_numpy(np.stack(sounds)).float() / 32768,
            torch.tensor(places),
        )


class OffsetObjective(nn.Module):
    """Cross-entropy of the offset, by the mean cosine of frames and sound so far apart."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: S3D, sample_rate: int) -> None:
        """Wrap a network.

        Args:
            model: one feature a frame.
            sample_rate: of the sound; a whole number of samples a frame.
        """
        super().__init__()
        self.model = model
        hop = round(sample_rate / model.config.fps)
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate, 2 * hop, hop_length=hop, n_mels=NUM_MELS, center=False
        )
        self.hear = nn.Sequential(
            nn.Conv1d(NUM_MELS, 128, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(128, 128, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(128, EMBED_DIM, 1),
        )
        self.see = nn.Linear(model.config.feature_dim, EMBED_DIM)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(0.1)))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def forward(self, batch: FramesAndSound, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one batch, on frames changed in brightness."""
        gain = 0.8 + 0.4 * torch.rand(len(batch), 1, 1, 1, 1, generator=generator)
        frames = (batch.frames.float() / 255 * gain.to(batch.frames.device)).clamp(0, 1)
        return {"loss": F.cross_entropy(self.scores(frames, batch.waveform), batch.place)}

    @torch.no_grad()
    def evaluate(self, batch: FramesAndSound, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss, and how often the offset is told exactly and to within two frames."""
        scores = self.scores(batch.frames.float() / 255, batch.waveform)
        error = (scores.argmax(1) - batch.place).abs()
        return {
            "loss": F.cross_entropy(scores, batch.place),
            "accuracy": (error == 0).float().mean(),
            "accuracy_within_2": (error <= 2).float().mean(),
        }

    def scores(
        self, frames: Float[Tensor, "B F 3 size size"], waveform: Float[Tensor, "B L"]
    ) -> Float[Tensor, "B O"]:
        """Of every offset, for frames in [0, 1]."""
        seen = F.normalize(self.see(self.model((frames - self.mean) / self.std)).float(), dim=2)
        with torch.autocast(waveform.device.type, enabled=False):
            mel = self.mel(F.pad(waveform, (0, self.mel.hop_length))).clamp_min(1e-5).log()
        heard = F.normalize(self.hear(mel).float(), dim=1)
        # windows [B, E, O, F] of the sound, one for each offset
        cosines = torch.einsum("bfe,beof->bof", seen, heard.unfold(2, seen.shape[1], 1))
        return cosines.mean(2) / self.log_temperature.exp().clamp_min(0.01)
