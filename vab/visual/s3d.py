"""S3D: frames in chunks to features that are sensitive to when things happen (MaskVAT section 3.2).

The published network is SparseSync's (Iashin et al., BMVC 2022): S3D, fine-tuned to tell how far sound and frames are
apart, and its bridge from 1024 to 512 numbers. Torchvision has the network; the names in the authors' file are those of
another implementation and are mapped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vab import checkpoint
from vab.config import check_ranges, from_dict
from vab.errors import WeightsError
from vab.shapes import Float, Tensor
from vab.visual.preprocess import Preprocess
from vab.weights import RANDOM

FORMAT = "encoder"
KIND = "s3d"
SPARSESYNC = "s3d"
"""The published network's name."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_S3D_WIDTH, _S3D_STRIDE = 1024, 8


@dataclass(frozen=True)
class S3DConfig:
    """Size; the defaults are SparseSync's."""

    channels: tuple[int, ...] = ()
    """Of a small network: a spatial and a temporal convolution each, which halve the frame's sides and no time. Empty =
    torchvision's S3D, which gives a feature for 8 frames."""
    feature_dim: int = 512
    """E, numbers in one feature, behind the bridge."""
    fps: float = 25.0
    """Frames a second."""
    frames_per_chunk: int = 128
    """Frames that are seen together: SparseSync saw 125, to the same number of features."""
    resized: int = 256
    """The shorter side of a frame."""
    cropped: int = 224
    """Side of its middle, which the network sees."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            feature_dim=(1, 10**5),
            fps=(0.01, 1000),
            frames_per_chunk=(1, 10**5),
            resized=(1, 4096),
            cropped=(1, self.resized),
        )
        if self.frames_per_chunk % self.stride or min(self.channels, default=1) < 1:
            raise ValueError(
                f"frames_per_chunk must be a multiple of {self.stride} and channels positive, not "
                f"{self.frames_per_chunk} and {self.channels}"
            )

    @property
    def stride(self) -> int:
        """Frames a feature."""
        return 1 if self.channels else _S3D_STRIDE


class S3D(nn.Module):
    """The convolutions, a bridge to the features' width, the mean over space."""

    def __init__(self, config: S3DConfig) -> None:
        super().__init__()
        self.config = config
        self.features = _small(config.channels) if config.channels else _torchvision_features()
        width = config.channels[-1] if config.channels else _S3D_WIDTH
        self.bridge = nn.Sequential(nn.Conv3d(width, config.feature_dim, 1), nn.GELU())

    def forward(self, frames: Float[Tensor, "B F 3 size size"]) -> Float[Tensor, "B n E"]:
        """Features of chunks of normalised frames."""
        features: Tensor = self.bridge(self.features(frames.transpose(1, 2)))
        return features.mean(dim=(3, 4)).transpose(1, 2)


class S3DEncoder(nn.Module):
    """An S3D behind the ``VisualEncoder`` protocol."""

    def __init__(self, model: S3D, *, name: str = SPARSESYNC, dtype: torch.dtype = torch.float32) -> None:
        """Wrap a network with its weights; ``dtype`` is of the arithmetic, by autocast."""
        super().__init__()
        config = model.config
        self.model = model
        self.name = name
        self.dtype = dtype
        self.transform = Preprocess(config.resized, MEAN, STD, interpolation="bilinear")
        self.image_size = config.resized
        self.feature_shape: tuple[int, ...] = (config.feature_dim,)
        self.fps: float | None = config.fps
        self.frames_per_chunk = config.frames_per_chunk
        self.features_per_chunk = config.frames_per_chunk // config.stride
        self.eval().requires_grad_(False)

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 over configuration and weights."""
        return checkpoint.fingerprint(self.describe(), self.model.state_dict().items())

    def describe(self) -> dict[str, Any]:
        """Architecture, as JSON can hold it."""
        return {"type": KIND, "config": asdict(self.model.config)}

    def preprocess(self, frames: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        """Frames uint8 [F, height, width, 3] of any size, to what ``encode_frames`` takes (on the CPU)."""
        return self.transform(frames)

    @torch.no_grad()
    def encode_frames(self, frames: Float[Tensor, "F 3 size size"]) -> Float[Tensor, "n E"]:
        """Features of whole chunks of preprocessed frames, one chunk after the other.

        Raises:
            ValueError: no whole chunks.
        """
        config = self.model.config
        if len(frames) % config.frames_per_chunk:
            raise ValueError(f"{len(frames)} frames are no multiple of {config.frames_per_chunk}")
        margin = (config.resized - config.cropped) // 2
        seen = frames[..., margin : margin + config.cropped, margin : margin + config.cropped]
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            chunks = [self.model(chunk[None].to(device))[0] for chunk in seen.split(config.frames_per_chunk)]
        return torch.cat(chunks).float() if chunks else torch.zeros(0, *self.feature_shape, device=device)


def load_s3d(
    source: str | Path,
    *,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> S3DEncoder:
    """The published network or one of our own.

    Args:
        source: ``s3d``, SparseSync's, or the file of one that was trained here.
        weights: of SparseSync's, its checkpoint: a PyTorch file of plain tensors or a safetensors; ``random`` to try
            things out.
        device: where to put it.
        dtype: precision of the arithmetic; weights stay float32.

    Raises:
        WeightsError: weights are absent, damaged or of another network.
    """
    if isinstance(source, Path):
        if weights is not None:
            raise WeightsError(f"{source}: has its weights already; leave {str(weights)!r} out")
        tensors, header = checkpoint.load_tensors(source, expected_format=FORMAT)
        config = from_dict(S3DConfig, header.get("config", {}), source=str(source))
        model: S3D = checkpoint.build_for(lambda: S3D(config), tensors, source)
        checkpoint.load_state(model, tensors, source)
        return S3DEncoder(model, name=source.stem, dtype=dtype).to(device)
    if weights is None:
        raise WeightsError("s3d: give the file of SparseSync's weights (github.com/v-iashin/SparseSync)")
    model = S3D(S3DConfig())
    if weights != RANDOM:
        path = Path(weights).expanduser()
        checkpoint.load_state(model, published_state(path), path)
    return S3DEncoder(model, dtype=dtype).to(device)


def published_state(path: Path) -> dict[str, Tensor]:
    """The visual part of SparseSync's checkpoint under torchvision's names.

    Raises:
        WeightsError: the file is absent or damaged, or holds more than plain tensors, or no such network.
    """
    if path.suffix == ".safetensors":
        content: Any = checkpoint.load_tensors(path)[0]
    else:
        try:
            content = checkpoint.load_torch_file(path)
        except WeightsError as error:
            raise WeightsError(
                f"{error}; save what it has under 'model' alone as safetensors, with the authors' code"
            ) from error
    state = content.get("model", content) if isinstance(content, Mapping) else {}
    found = {
        _torchvision_name(key.removeprefix("module.")): value
        for key, value in state.items()
        if re.match(r"(module\.)?(vfeat_extractor\.base|v_bridge)\.", key)
    }
    if not found:
        raise WeightsError(f"{path}: no 'vfeat_extractor' and 'v_bridge' as in SparseSync's checkpoint")
    return found


def _torchvision_name(key: str) -> str:
    """``vfeat_extractor.base.5.branch1.1.conv_s.weight`` as ``features.5.branch1.1.0.0.weight``."""
    key = key.replace("vfeat_extractor.base.", "features.").replace("v_bridge.bridge.", "bridge.")
    key = key.replace("branch0.0.", "branch0.")  # the only branch of one layer
    places = {"conv_s": "0.0", "bn_s": "0.1", "conv_t": "1.0", "bn_t": "1.1", "conv": "0", "bn": "1"}
    for name, place in places.items():
        key = key.replace(f".{name}.", f".{place}.")
    return key


def _torchvision_features() -> nn.Module:
    from torchvision.models.video.s3d import S3D as TorchvisionS3D

    features: nn.Module = TorchvisionS3D().features
    return features


def _small(channels: tuple[int, ...]) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in pairwise((3, *channels)):
        layers += [
            nn.Conv3d(before, after, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False),
            nn.BatchNorm3d(after),
            nn.ReLU(),
            nn.Conv3d(after, after, (5, 1, 1), padding=(2, 0, 0), bias=False),
            nn.BatchNorm3d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
