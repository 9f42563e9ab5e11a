"""CLIP towers on the ``open_clip`` package: the only file that imports it.

The paper's visual encoder is EVA02-CLIP-L/14 (appendix B.1). The text tower shares its space.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vab import checkpoint
from vab.errors import ConfigError, WeightsError
from vab.shapes import Float, Int, Tensor
from vab.visual.preprocess import Preprocess

KIND = "open_clip"
IMAGES_PER_BATCH = 32
TEXTS_PER_BATCH = 256


def stock_config(name: str) -> dict[str, Any] | None:
    """open_clip's own configuration of a model name, or None."""
    import open_clip

    return None if ":" in name else open_clip.get_model_config(name.replace("/", "-"))


def stock_tags(name: str) -> list[str]:
    """Names of the pretrained weights that open_clip knows for a model name."""
    import open_clip

    return open_clip.list_pretrained_tags_by_model(name)


def stock_preprocess(name: str, tag: str | None = None) -> dict[str, Any]:
    """Mean, standard deviation and resizing that go with a model's published weights.

    A local file does not tell which tag it is of: then what all of the model's tags agree on is taken.
    """
    import open_clip

    configs = [open_clip.get_pretrained_cfg(name, each) for each in ([tag] if tag else stock_tags(name))]
    agreed = {}
    for key in ("mean", "std", "interpolation", "resize_mode"):
        values = [config.get(key) for config in configs]
        if values and all(value == values[0] for value in values):
            agreed[key] = values[0]
    return agreed


def download_tag(name: str, tag: str) -> Path:
    """The file of open_clip's own pretrained weights, from its cache or the network.

    Raises:
        WeightsError: no network, or the weights are gone.
    """
    import open_clip

    try:
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))
    except Exception as error:  # whichever of three download libraries it went through
        raise WeightsError(
            f"{name}: cannot download open_clip's weights {tag!r} ({checkpoint.one_line(error)}); "
            "give the path of a file you have instead"
        ) from error


def build_open_clip(config: Mapping[str, Any]) -> nn.Module:
    """An untrained open_clip model in training mode, from its ``model_cfg``; nothing is downloaded.

    ``open_clip.create_model`` knows models by name alone and logs a warning where no weights are loaded,
    so its last step, calling the class, is done here.

    Raises:
        ConfigError: settings that open_clip does not know.
    """
    import open_clip

    arguments: dict[str, Any] = deepcopy(dict(config))
    try:
        has_hub_text = "hf_model_name" in arguments["text_cfg"]
        if "timm_model_name" in arguments["vision_cfg"]:
            arguments["vision_cfg"]["timm_model_pretrained"] = False
        if has_hub_text:
            arguments["text_cfg"]["hf_model_pretrained"] = False
        model_class = open_clip.CLIP
        if arguments.pop("custom_text", False) or has_hub_text:
            model_class = open_clip.CoCa if "multimodal_cfg" in arguments else open_clip.CustomTextCLIP
        return model_class(**arguments)
    except (KeyError, TypeError, RuntimeError, ValueError, AssertionError, OSError) as error:
        raise ConfigError(f"open_clip cannot build this model ({checkpoint.one_line(error)})") from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a weights file in any layout that open_clip converts, strictly and without unpickling code.

    Raises:
        WeightsError: damaged, or of another architecture.
    """
    import open_clip

    try:
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except Exception as error:  # torch, safetensors and pickle each have their own
        raise WeightsError(f"{path}: not weights of this model ({checkpoint.one_line(error)})") from error


class OpenClipEncoder(nn.Module):
    """An open_clip model behind the ``VisualEncoder`` and ``TextEncoder`` protocols.

    Args:
        model: what ``build_open_clip`` gives, with weights.
        config: the ``model_cfg`` it was built from.
        preprocess: how its weights want frames.
        name: what it was loaded as.
        dtype: precision of the image tower's arithmetic, by autocast; weights stay as they are.
        tokenizer_folder: where a Hugging Face tokenizer of the configuration lies, None = the hub.
    """

    fps: float | None = None
    frames_per_chunk: int = 1
    features_per_chunk: int = 1

    def __init__(
        self,
        model: nn.Module,
        config: Mapping[str, Any],
        preprocess: Preprocess,
        *,
        name: str = KIND,
        dtype: torch.dtype = torch.float32,
        tokenizer_folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.config = deepcopy(dict(config))
        self.transform = preprocess
        self.name = name
        self.dtype = dtype
        self.embed_dim: int = config["embed_dim"]
        self.feature_shape: tuple[int, ...] = (self.embed_dim,)
        self.image_size = preprocess.size
        self._tokenizer_folder = tokenizer_folder
        self._tokenizer: Any = None
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the towers lie."""
        return next(self.model.parameters()).device

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights, computed at the first look."""
        return checkpoint.fingerprint(self.describe(), self.model.state_dict().items())

    def describe(self) -> dict[str, Any]:
        """Architecture and preprocessing, as JSON can hold them."""
        return {"type": KIND, "config": self.config, "preprocess": dataclasses.asdict(self.transform)}

    def train(self, mode: bool = True) -> OpenClipEncoder:
        """Stay in evaluation mode, also inside a model that is being trained."""
        return super().train(False)

    def preprocess(self, frames: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        """Frames uint8 [F, height, width, 3] of any size, to what ``encode_frames`` takes (on the CPU).

        Raises:
            ValueError: not uint8 [F, height, width, 3].
        """
        return self.transform(frames)

    @torch.no_grad()
    def encode_frames(self, frames: Float[Tensor, "F 3 size size"]) -> Float[Tensor, "F E"]:
        """Features of preprocessed frames, float32, not normalised.

        Raises:
            ValueError: frames of another size than ``image_size``.
        """
        if tuple(frames.shape[1:]) != (3, self.image_size, self.image_size):
            raise ValueError(
                f"frames must be [F, 3, {self.image_size}, {self.image_size}], not {list(frames.shape)}"
            )
        features = torch.empty(len(frames), self.embed_dim, device=self.device)
        is_reduced = self.dtype != torch.float32
        for start in range(0, len(frames), IMAGES_PER_BATCH):
            batch = frames[start : start + IMAGES_PER_BATCH].to(self.device, torch.float32)
            with torch.autocast(self.device.type, dtype=self.dtype, enabled=is_reduced):
                features[start : start + IMAGES_PER_BATCH] = self.model.encode_image(batch)
        return features

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Float[Tensor, "T E"]:
        """Features of texts in the same space, float32, not normalised.

        Raises:
            WeightsError: a tokenizer of the Hugging Face hub that is not at hand.
        """
        features = torch.empty(len(texts), self.embed_dim, device=self.device)
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            tokens = self.tokenise(texts[start : start + TEXTS_PER_BATCH]).to(self.device)
            features[start : start + TEXTS_PER_BATCH] = self.model.encode_text(tokens)
        return features

    def tokenise(self, texts: list[str]) -> Int[Tensor, "T length"]:
        """Token ids of texts, as the text tower takes them."""
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(self.config, self._tokenizer_folder, self.name)
        return self._tokenizer(texts)


def _tokenizer(config: Mapping[str, Any], folder: Path | None, name: str) -> Any:
    """The tokenizer a ``model_cfg`` names: the bundled BPE unless it says otherwise."""
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    text_config = config["text_cfg"]
    context_length = text_config.get("context_length", 77)
    options = text_config.get("tokenizer_kwargs", {})
    hub_name = text_config.get("hf_tokenizer_name")
    if not hub_name:
        return open_clip.SimpleTokenizer(context_length=context_length, **options)
    try:
        return HFTokenizer(
            str(folder or hub_name),
            context_length=context_length,
            tokenizer_mode=text_config.get("tokenizer_mode"),
            **options,
        )
    except Exception as error:  # transformers may be absent, the hub out of reach
        raise WeightsError(
            f"{name}: its tokenizer {hub_name!r} is not at hand ({checkpoint.one_line(error)})"
        ) from error
