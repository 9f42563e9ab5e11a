"""PaSST, the network under the paper's KL divergence, by the authors' package and from their official file.

Koutini et al., Interspeech 2022: ``passt_s_swa_p16_128_ap476``, the one that the field's evaluators take. The package,
``hear21passt``, is an optional extra.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch

from vab.errors import ConfigError
from vab.metrics.published import Tagging, load_published
from vab.shapes import Float, Tensor

SAMPLE_RATE = 32_000
WINDOW_SECONDS = 10.0
"""That the network has positions for."""

_HOP = 320
_NUM_MELS, _NUM_FRAMES = 128, 998
_SHORTEST_SECONDS = 1.0


class PasstTagger:
    """PaSST with its weights; longer sounds are heard in windows of 10 s side by side, and those are averaged."""

    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str | Path, *, device: str = "cpu") -> None:
        """Load the official file: see :func:`load_published`; ConfigError: the package is not installed."""
        front_end, model = build()
        self._front_end = front_end.to(device)
        self._model = load_published("PaSST", weights, lambda state: model, device=device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, waveform: Float[Tensor, "1 L"]) -> Tagging:
        """What is in a sound at ``SAMPLE_RATE``; what is left of it under 1 s is followed by silence."""
        window, shortest = (round(seconds * SAMPLE_RATE) for seconds in (WINDOW_SECONDS, _SHORTEST_SECONDS))
        pieces = [piece for piece in waveform.float().split(window, dim=1) if piece.shape[1] >= shortest]
        if not pieces:
            pieces = [torch.nn.functional.pad(waveform.float(), (0, shortest - waveform.shape[1]))]
        with warnings.catch_warnings():
            # Of PyTorch's older names in the package, and that 1000 frames are not 998: the package cuts its positions.
            warnings.simplefilter("ignore")
            heard = [self._model(self._front_end(piece.to(self._device))[:, None]) for piece in pieces]
        return Tagging(
            torch.cat([logits for logits, _ in heard]).softmax(dim=1).mean(dim=0).cpu(),
            torch.cat([embedding for _, embedding in heard]).mean(dim=0).cpu(),
        )


def build() -> tuple[Any, Any]:
    """The package's front end and its network, without weights.

    Raises:
        ConfigError: the package is not installed.
    """
    if importlib.util.find_spec("hear21passt") is None:
        raise ConfigError("PaSST needs the package hear21passt: python -m pip install 'vab[passt]'")
    from hear21passt.models import passt
    from hear21passt.models.preprocess import AugmentMelSTFT

    # The package prints shapes at its first pass, and its function of the model's name prints the whole network.
    passt.first_RUN = False
    front_end = AugmentMelSTFT(
        n_mels=_NUM_MELS, sr=SAMPLE_RATE, win_length=800, hopsize=_HOP, n_fft=1024, fmin=0.0, fmax=15_000
    )
    sizes = {"stride": (10, 10), "img_size": (_NUM_MELS, _NUM_FRAMES)}
    model = passt.PaSST(**sizes, embed_dim=768, depth=12, num_heads=12, distilled=True)
    return front_end.eval(), model
