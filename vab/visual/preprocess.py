"""Frames to what an image tower takes: open_clip's own transform, as batched tensor operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from vab.config import check_ranges, from_dict
from vab.errors import ConfigError
from vab.shapes import Float, Tensor

_MAX_ASPECT = 16
"""Frames longer than this many times their width lose their far ends before they are enlarged."""

_BYTES_PER_BATCH = 1 << 26
"""Resized frames held at a time; only the cropped ones stay."""


@dataclass(frozen=True)
class Preprocess:
    """open_clip's ``preprocess_cfg``; the defaults are those of OpenAI's CLIP, which EVA02-CLIP shares."""

    size: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, size=(1, 4096))
        if self.interpolation not in ("bicubic", "bilinear"):
            raise ConfigError(f"interpolation must be bicubic or bilinear, not {self.interpolation!r}")
        if self.resize_mode not in ("shortest", "longest", "squash"):
            raise ConfigError(f"resize_mode must be shortest, longest or squash, not {self.resize_mode!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """From open_clip's JSON; keys that it leaves out or sets to null keep their defaults.

        Raises:
            ConfigError: a picture that is not square.
        """
        known = {key: values[key] for key in cls.__dataclass_fields__ if values.get(key) is not None}
        if isinstance(size := known.get("size"), list | tuple):
            if len(set(size)) != 1:
                raise ConfigError(f"only square pictures are supported, not {list(size)}")
            known["size"] = size[0]
        if known.get("interpolation") == "random":  # open_clip's own reading of it outside training
            known["interpolation"] = "bicubic"
        for key in ("mean", "std"):
            if key in known:
                known[key] = tuple(known[key])
        return from_dict(cls, known, source="preprocess_cfg")

    def __call__(self, frames: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        """Frames uint8 [F, height, width, 3] of any size, resized, cropped and normalised.

        Raises:
            ValueError: not uint8 [F, height, width, 3] with at least one pixel.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape[1:3]:
            raise ValueError(
                f"frames must be uint8 [F, height, width, 3], not {frames.dtype} {list(frames.shape)}"
            )
        pixels = torch.empty(len(frames), 3, self.size, self.size, dtype=torch.uint8)
        frames = _without_far_ends(frames) if self.resize_mode == "shortest" else frames
        height, width = self._resized(frames.shape[1], frames.shape[2])
        step = max(1, _BYTES_PER_BATCH // (3 * max(height * width, self.size**2)))
        for start in range(0, len(frames), step):
            # A decoder's frames may be read-only, which torch does not know.
            batch = torch.from_numpy(np.require(frames[start : start + step], requirements=["C", "W"]))
            batch = batch.permute(0, 3, 1, 2)
            # On uint8, as Pillow computes: rounded to whole values, without overshoot beyond them.
            batch = F.interpolate(batch, (height, width), mode=self.interpolation, antialias=True)
            pixels[start : start + step] = self._centre(batch)
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (self.mean, self.std))
        return pixels.float().div_(255).sub_(mean).div_(std)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width before cropping, rounded as torchvision and open_clip round them."""
        if self.resize_mode == "squash":
            return self.size, self.size
        if self.resize_mode == "longest":
            ratio = max(height, width) / self.size
            return max(1, round(height / ratio)), max(1, round(width / ratio))
        if height <= width:
            return self.size, int(self.size * width / height)
        return int(self.size * height / width), self.size

    def _centre(self, batch: Tensor) -> Tensor:
        """The central square, filled up with ``fill_color`` where the picture is smaller."""
        rows, columns = (max(0, self.size - side) for side in batch.shape[2:])  # that are missing
        if rows or columns:
            left, top = columns // 2, rows // 2
            batch = F.pad(batch, (left, columns - left, top, rows - top), value=self.fill_color)
        top = round((batch.shape[2] - self.size) / 2)
        left = round((batch.shape[3] - self.size) / 2)
        return batch[:, :, top : top + self.size, left : left + self.size]


def _without_far_ends(frames: np.ndarray) -> np.ndarray:
    """Extremely long pictures cut to what the crop can see, with margin; a strip of pixels stays small."""
    height, width = frames.shape[1:3]
    longest = _MAX_ASPECT * min(height, width)
    top, left = (max(0, side - longest) // 2 for side in (height, width))
    return frames[:, top : top + longest, left : left + longest]
