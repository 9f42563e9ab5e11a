"""CLAP, sound and words in one space, from a folder in Hugging Face's own format.

Wu et al., ICASSP 2023 (LAION). The network and its reading of sound and words are those of ``transformers``, which is
an optional extra, so that any of LAION's published folders is read as it stands.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn import functional as F

from vab.checkpoint import one_line
from vab.errors import ConfigError, WeightsError
from vab.shapes import Float, Tensor

_SHORTEST_SECONDS = 1.0
_NEEDED = ("config.json", "model.safetensors", "preprocessor_config.json")
_NOT_LEARNT = "position_ids"
"""Older files also hold what is counted anew: whole numbers from 0 on."""


class Clap:
    """CLAP with its weights; longer sounds than its window are heard in pieces side by side."""

    def __init__(self, folder: str | Path, *, device: str = "cpu") -> None:
        """Load a folder such as ``laion/clap-htsat-unfused`` downloaded, safetensors only.

        Raises:
            ConfigError: the package ``transformers`` is not installed.
            WeightsError: the folder or one of its files is absent, damaged, or of another model.
        """
        if importlib.util.find_spec("transformers") is None:
            raise ConfigError("CLAP needs the package transformers: python -m pip install 'vab[clap]'")
        folder = Path(folder).expanduser()
        if not folder.is_dir():
            content = f"{', '.join(_NEEDED)} and a tokenizer"
            raise WeightsError(f"{folder}: no such folder; give one with {content}")
        for path in (folder / name for name in _NEEDED):
            if not path.is_file():
                raise WeightsError(f"{path}: no such file; CLAP's folder has it in Hugging Face's format")
        with _quiet():
            self._features, self._tokenizer, self._model = _load(folder)
        self._model.eval().requires_grad_(False).to(device)
        self._device = device
        self.sample_rate: int = self._features.sampling_rate

    @torch.inference_mode()
    def embed_audio(self, audio: Float[Tensor, "1 L"]) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound at ``sample_rate``.

        The front end cuts what is longer than its window at a random place, so it is given pieces that are not; what
        is left under 1 s is not heard. A shorter sound is repeated, as in training.
        """
        window, shortest = self._features.nb_max_samples, round(_SHORTEST_SECONDS * self.sample_rate)
        pieces = [each for each in audio[0].float().split(window) if len(each) >= shortest] or [
            audio[0].float()
        ]
        embeddings = []
        for piece in pieces:
            read = self._features(piece.numpy(), sampling_rate=self.sample_rate, return_tensors="pt")
            embeddings.append(self._model.get_audio_features(**read.to(self._device)).pooler_output)
        return F.normalize(torch.cat(embeddings).mean(dim=0), dim=0).cpu()

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a text."""
        read = self._tokenizer([text], truncation=True, return_tensors="pt").to(self._device)
        return self._model.get_text_features(**read).pooler_output[0].cpu()


def _load(folder: Path) -> tuple[Any, Any, Any]:
    """The reader of sound, the tokenizer and the network.

    Raises:
        WeightsError: a file is damaged or of another model.
    """
    from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel

    network: Any = ClapModel  # its types do not know that output_loading_info adds a second result
    try:
        kind = ClapConfig.get_config_dict(folder)[0].get("model_type")
        if kind != ClapConfig.model_type:
            raise WeightsError(f"{folder / 'config.json'}: of a model of type {kind!r}, not of a CLAP")
        features = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, found = network.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{folder}: cannot be read as a CLAP ({one_line(error)})") from error
    # The library fills what is missing with random numbers.
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(str(name) for name in found[what] if _NOT_LEARNT not in str(name))
        if names:
            raise WeightsError(
                f"{folder / _NEEDED[1]}: weights do not fit config.json: {len(names)} {what.replace('_', ' ')} "
                f"(such as {names[0]})"
            )
    return features, tokenizer, model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's own bars and reports: what it says of weights is an error here."""
    from transformers.utils import logging as library

    level, has_bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.CRITICAL)
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if has_bars:
            library.enable_progress_bar()
