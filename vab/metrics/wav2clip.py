"""Wav2CLIP, sound in the space of CLIP's frames, read from its official file.

Wu et al., ICASSP 2022: a ResNet-18 on the log spectrogram of a whole clip, and two layers that lead to the space of
OpenAI's CLIP ViT-B/32.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torchaudio.transforms import Spectrogram
from torchvision.models.resnet import BasicBlock, ResNet

from vab.metrics.published import load_published
from vab.shapes import Float, Tensor

SAMPLE_RATE = 16_000
WIDTH = 512
"""P, of an embedding."""

_WINDOW, _HOP = 512, 353
_LOG_OFFSET, _STD_OFFSET = 1e-7, 1e-9
_SHORTEST_SECONDS = 1.0
_CLASSES = "audio_encoder.fc."
"""A layer that the file has and no embedding goes through."""


class Network(nn.Module):
    """Sound to its place in CLIP's space."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(_WINDOW, hop_length=_HOP)
        self.audio_encoder = ResNet(BasicBlock, [2, 2, 2, 2])
        self.audio_encoder.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.audio_encoder.add_module("fc", nn.Identity())
        self.audio_transform = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(), nn.Linear(WIDTH, WIDTH)
        )

    def forward(self, waveform: Float[Tensor, "1 L"]) -> Float[Tensor, "1 P"]:
        """Of one sound: its spectrogram is normalised as a whole, so a batch would mix its clips."""
        bins = (self.spectrogram(waveform)[:, None] + _LOG_OFFSET).log()
        bins = (bins - bins.mean()) / (bins.std() + _STD_OFFSET)
        return self.audio_transform(self.audio_encoder(bins))


class Wav2Clip:
    """The network with its weights."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path = "wav2clip", *, device: str = "cpu") -> None:
        """Load the official file: see :func:`load_published`."""
        self._model = load_published(
            "Wav2CLIP", weights, lambda state: Network(), device=device, rename=_own_name
        )
        self._device = device

    @torch.inference_mode()
    def embed_audio(self, audio: Float[Tensor, "1 L"]) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound at ``SAMPLE_RATE``; under 1 s it is followed by silence."""
        missing = round(_SHORTEST_SECONDS * SAMPLE_RATE) - audio.shape[1]
        sound = F.pad(audio.float(), (0, max(0, missing)))
        return F.normalize(self._model(sound.to(self._device))[0], dim=0).cpu()


def _own_name(key: str) -> str | None:
    if not key.startswith("audio_") or key.startswith(_CLASSES):
        return None
    return key.replace("audio_encoder.spectrogram.", "spectrogram.").replace(".sequential.", ".")
