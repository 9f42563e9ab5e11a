"""VGGish, the network under most published Frechet audio distances, read from its official PyTorch file.

Hershey et al., ICASSP 2017; the file is that of the torchvggish project. The embedding is taken before the last
activation and without the PCA and quantisation of AudioSet's release, as the original Frechet audio distance does
(Kilgour et al., Interspeech 2019). Evaluators that keep the activation, or quantise, give other numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.vgg import make_layers

from vab.metrics.published import load_published
from vab.shapes import Float, Tensor

SAMPLE_RATE = 16_000
WIDTH = 128
"""Of an embedding."""

_WINDOW, _HOP, _NUM_BINS = 400, 160, 257
_NUM_MELS, _LOWEST_HZ, _HIGHEST_HZ = 64, 125.0, 7500.0
_LOG_OFFSET = 0.01
_EXAMPLE_FRAMES = 96
_LAYERS: list[Any] = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M"]
"""Channels of convolutions, and pooling between."""


class VGGish(nn.Module):
    """Log-mel patches of 0.96 s to embeddings; names of its parts are those of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.features = make_layers(_LAYERS)
        self.features[0] = nn.Conv2d(1, _LAYERS[0], 3, padding=1)
        self.embeddings = nn.Sequential(
            nn.Linear(_LAYERS[-2] * (_EXAMPLE_FRAMES // 16) * (_NUM_MELS // 16), 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, WIDTH),
        )

    def forward(self, patches: Float[Tensor, "N 1 T M"]) -> Float[Tensor, "N E"]:
        """Embeddings of patches of 96 frames by 64 mel bands."""
        # The weights came from a framework that keeps channels last.
        return self.embeddings(self.features(patches).permute(0, 2, 3, 1).flatten(1))


class VGGishFeatures:
    """VGGish with its weights: sound in, a row for each whole 0.96 s out."""

    def __init__(self, weights: str | Path = "vggish", *, device: str = "cpu") -> None:
        """Load the official file: see :func:`load_published`."""
        self._model = load_published("VGGish", weights, lambda state: VGGish(), device=device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, waveform: Float[Tensor, "1 L"]) -> Float[Tensor, "N E"]:
        """Embeddings of sound at ``SAMPLE_RATE``; sound shorter than 0.975 s is filled with silence to one row."""
        return self._model(log_mel_patches(waveform).to(self._device)).cpu()


def log_mel_patches(waveform: Float[Tensor, "1 L"]) -> Float[Tensor, "N 1 T M"]:
    """Natural log of mel magnitudes of sound at ``SAMPLE_RATE``, in patches side by side; the rest is dropped."""
    shortest = (_EXAMPLE_FRAMES - 1) * _HOP + _WINDOW
    sound = nn.functional.pad(waveform[0].float(), (0, max(0, shortest - waveform.shape[1])))
    frames = sound.unfold(0, _WINDOW, _HOP) * torch.hann_window(_WINDOW)
    magnitudes = torch.fft.rfft(frames, n=2 * (_NUM_BINS - 1)).abs()
    mels = (magnitudes @ _mel_weights() + _LOG_OFFSET).log()
    whole = len(mels) // _EXAMPLE_FRAMES * _EXAMPLE_FRAMES
    return mels[:whole].reshape(-1, 1, _EXAMPLE_FRAMES, _NUM_MELS)


def _mel_weights() -> Tensor:
    """Triangles [bins, mels], straight over mel, not over Hz as in other libraries."""
    bins = _to_mel(torch.linspace(0, SAMPLE_RATE / 2, _NUM_BINS, dtype=torch.float64))
    lowest, highest = _to_mel(torch.tensor([_LOWEST_HZ, _HIGHEST_HZ], dtype=torch.float64)).tolist()
    edges = torch.linspace(lowest, highest, _NUM_MELS + 2, dtype=torch.float64)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - low) / (centre - low)
    falling = (high - bins[:, None]) / (high - centre)
    return torch.minimum(rising, falling).clamp_min(0).float()


def _to_mel(hertz: Tensor) -> Tensor:
    return 1127 * torch.log1p(hertz / 700)
