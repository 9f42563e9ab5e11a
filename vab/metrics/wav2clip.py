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
_PARTS = ("audio_encoder.", "audio_transform.")
_CLASSES = "audio_encoder.fc."
"""A layer that the file has and no embedding goes through."""


class Network(nn.Module):
    """Sound to its place in CLIP's space; names of its parts are those of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = ResNet(BasicBlock, [2, 2, 2, 2])
        changes = {
            "conv1": nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False),
            "fc": nn.Identity(),
            "spectrogram": Spectrogram(_WINDOW, hop_length=_HOP),
        }
        for name, module in changes.items():
            self.audio_encoder.add_module(name, module)
        layers = [nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(), nn.Linear(WIDTH, WIDTH)]
        self.audio_transform = nn.ModuleDict({"sequential": nn.Sequential(*layers)})

    def forward(self, waveform: Float[Tensor, "1 L"]) -> Float[Tensor, "1 P"]:
        """Of one sound: its spectrogram is normalised as a whole, so a batch would mix its clips."""
        power = self.audio_encoder.get_submodule("spectrogram")(waveform)[:, None]
        bins = (power + _LOG_OFFSET).log()
        bins = (bins - bins.mean()) / (bins.std() + _STD_OFFSET)
        return self.audio_transform.get_submodule("sequential")(self.audio_encoder(bins))


class Wav2Clip:
    """The network with its weights."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path = "wav2clip", *, device: str = "cpu") -> None:
        """Load the official file.

        Args:
            weights: its registered name, downloaded once, or a path.
            device: cpu or cuda.

        Raises:
            WeightsError: the file is absent, damaged or another.
        """
        self._model = load_published(
            "Wav2CLIP",
            weights,
            lambda state: Network(),
            device=device,
            keep=lambda key: key.startswith(_PARTS) and not key.startswith(_CLASSES),
        )
        self._device = device

    @torch.inference_mode()
    def embed_audio(self, audio: Float[Tensor, "1 L"]) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound at ``SAMPLE_RATE``; under 1 s it is followed by silence."""
        missing = round(_SHORTEST_SECONDS * SAMPLE_RATE) - audio.shape[1]
        sound = F.pad(audio.float(), (0, max(0, missing)))
        return F.normalize(self._model(sound.to(self._device))[0], dim=0).cpu()
