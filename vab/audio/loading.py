"""Audio autoencoders by name, by file or by folder."""

from __future__ import annotations

from pathlib import Path

import torch

from vab.audio.base import AudioAutoencoder
from vab.audio.spectral import SpectralAutoencoder
from vab.codecs import SpectralCodec, load_codec
from vab.errors import WeightsError

AUDIOLDM2 = "audioldm2:"
"""Before the folder of a published AudioLDM2."""


def load_autoencoder(name: str, *, device: str | torch.device = "cpu") -> AudioAutoencoder:
    """An autoencoder without gradients.

    Args:
        name: a spectral codec, such as ``spectral-16khz`` or a file of one, for its latents before the quantiser; or
            ``audioldm2:FOLDER``, a folder with AudioLDM2's ``vae`` and ``vocoder`` (extra ``vab[tiva]``).
        device: where to put it.

    Raises:
        WeightsError: an unknown name, a codec of another kind, or weights that are absent or damaged.
    """
    if name.startswith(AUDIOLDM2):
        from vab.audio.audioldm2 import load_audioldm2

        return load_audioldm2(Path(name.removeprefix(AUDIOLDM2)).expanduser(), device=device)
    codec = load_codec(name, device=device)
    if not isinstance(codec, SpectralCodec):
        raise WeightsError(
            f"{name}: diffusion takes the latents of a spectral codec, such as spectral-16khz, or {AUDIOLDM2}FOLDER"
        )
    return SpectralAutoencoder(codec)
