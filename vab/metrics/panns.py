"""PANNs' Cnn14, the network under many published KL divergences and inception scores, read from its official file.

Kong et al., TASLP 2020; the two files of the authors' Zenodo record, one of which takes 16 kHz and one 32 kHz. The
front end (windowed Fourier matrices, mel bands) is among the file's weights and is used as it stands there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vab.checkpoint import load_state, load_torch_file
from vab.errors import WeightsError
from vab.metrics.published import Tagging
from vab.shapes import Float, Tensor
from vab.weights import resolve

NUM_CLASSES = 527
"""Of AudioSet."""
WIDTH = 2048
"""Of an embedding."""

_NUM_MELS = 64
_CHANNELS = (64, 128, 256, 512, 1024, WIDTH)
_POWER_FLOOR = 1e-10
_SHORTEST_SECONDS = 1.0
"""Five poolings need a third of a second; the network was never shown anything near as short."""
_RATE_AND_HOP = {512: (16_000, 160), 1024: (32_000, 320)}
"""By the length of the Fourier window, in samples: what tells one file from the other."""
_STFT = "spectrogram_extractor.stft.conv_real.weight"
# The 16 kHz file also holds the state of its training's sampler, which has whole-number arrays in it. To build one,
# and nothing else, is what these four allow; the name is that of the NumPy which wrote the file.
_PLAIN_ARRAYS: list[Any] = [
    (np.zeros(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    np.dtypes.Int64DType,
]


class Cnn14(nn.Module):
    """Sound to what is in it; names of its parts are those of the file."""

    def __init__(self, window: int = 512) -> None:
        """Build it, its front end included; ``window`` is Fourier's in samples, 512 at 16 kHz or 1024 at 32 kHz."""
        super().__init__()
        self.sample_rate, hop = _RATE_AND_HOP[window]
        self._half_window = window // 2
        num_bins = window // 2 + 1
        fourier = {
            f"conv_{part}": nn.Conv1d(1, num_bins, window, stride=hop, bias=False)
            for part in ("real", "imag")
        }
        self.spectrogram_extractor = nn.ModuleDict({"stft": nn.ModuleDict(fourier)})
        self.logmel_extractor = nn.ParameterDict({"melW": torch.zeros(num_bins, _NUM_MELS)})
        self.bn0 = nn.BatchNorm2d(_NUM_MELS)
        for number, (before, after) in enumerate(zip((1, *_CHANNELS), _CHANNELS, strict=False), start=1):
            self.add_module(f"conv_block{number}", _Block(before, after))
        self.fc1 = nn.Linear(WIDTH, WIDTH)
        self.fc_audioset = nn.Linear(WIDTH, NUM_CLASSES)

    def log_mel(self, waveform: Float[Tensor, "B L"]) -> Float[Tensor, "B 1 T M"]:
        """Mel bands of power in dB, reflected at the ends."""
        padded = nn.functional.pad(waveform[:, None], (self._half_window, self._half_window), mode="reflect")
        parts = (self.get_submodule(f"spectrogram_extractor.stft.conv_{part}") for part in ("real", "imag"))
        power = sum(part(padded).square() for part in parts)
        mels = power.transpose(1, 2) @ self.logmel_extractor["melW"]
        return 10 * mels.clamp_min(_POWER_FLOOR).log10()[:, None]

    def forward(self, waveform: Float[Tensor, "B L"]) -> tuple[Float[Tensor, "B V"], Float[Tensor, "B E"]]:
        """Logits of AudioSet's classes, and the embedding they are read from."""
        features = self.bn0(self.log_mel(waveform).transpose(1, 3)).transpose(1, 3)
        for number in range(1, len(_CHANNELS) + 1):
            features = self.get_submodule(f"conv_block{number}")(features)
            if number < len(_CHANNELS):
                features = nn.functional.avg_pool2d(features, 2)
        over_time = features.mean(dim=3)
        pooled = over_time.amax(dim=2) + over_time.mean(dim=2)
        embedding = self.fc1(pooled).relu()
        return self.fc_audioset(embedding), embedding


class PannsTagger:
    """Cnn14 with its weights."""

    def __init__(self, weights: str | Path, *, device: str = "cpu") -> None:
        """Load ``panns-16khz`` or ``panns-32khz``, downloaded once, or a path of either file.

        Raises:
            WeightsError: the file is absent, damaged or another.
        """
        path = resolve(weights)
        with torch.serialization.safe_globals(_PLAIN_ARRAYS):
            content = load_torch_file(path)
        state = content.get("model") if isinstance(content, dict) else None
        fourier = state.get(_STFT) if isinstance(state, dict) else None
        if not isinstance(state, dict) or not isinstance(fourier, Tensor):
            raise WeightsError(f"{path}: not a checkpoint of PANNs; use the file that 'vab info' names")
        if fourier.shape[-1] not in _RATE_AND_HOP:
            raise WeightsError(
                f"{path}: a PANN of window {fourier.shape[-1]}; vab reads Cnn14 of 16 and of 32 kHz"
            )
        self._model = Cnn14(fourier.shape[-1])
        load_state(self._model, state, path)
        self._model.eval().requires_grad_(False).to(device)
        self._device = device
        self.sample_rate = self._model.sample_rate

    @torch.inference_mode()
    def __call__(self, waveform: Float[Tensor, "1 L"]) -> Tagging:
        """What is in a sound at ``sample_rate``; under 1 s it is followed by silence."""
        missing = round(_SHORTEST_SECONDS * self.sample_rate) - waveform.shape[1]
        sound = nn.functional.pad(waveform.float(), (0, max(0, missing)))
        logits, embedding = self._model(sound.to(self._device))
        return Tagging(logits[0].softmax(dim=0).cpu(), embedding[0].cpu())


class _Block(nn.Module):
    """Two convolutions."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, features: Float[Tensor, "B C T M"]) -> Float[Tensor, "B c T M"]:
        return self.bn2(self.conv2(self.bn1(self.conv1(features)).relu())).relu()
