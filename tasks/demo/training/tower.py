"""Training of a small open_clip tower: frames and captions that name object, material and state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from vab.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class CaptionedFrames:
    """A batch of pictures and what is to be seen on them."""

    frames: Tensor
    """uint8 [B, 3, size, size]."""
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.captions)

    def to(self, device: torch.device | str) -> CaptionedFrames:
        """The same on another device."""
        return CaptionedFrames(self.frames.to(device), self.captions)


class FrameCaptions(Dataset[CaptionedFrames]):
    """One frame of a clip and a caption for its moment, both chosen by the request's seed."""

    def __init__(
        self,
        frames: np.ndarray,
        times: np.ndarray,
        caption: Callable[[int, float, np.random.Generator], str],
    ) -> None:
        """Wrap decoded frames.

        Args:
            frames: uint8 [clips, F, size, size, 3], in memory or memory-mapped.
            times: seconds [F], of each frame in its clip.
            caption: clip index, time and randomness to words.
        """
        self.frames = frames
        self.times = times
        self.caption = caption

    def __len__(self) -> int:
        return len(self.frames)

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> CaptionedFrames:
        """Frames and captions for (clip, seed) pairs."""
        pictures, captions = [], []
        for index, seed in requests:
            generator = np.random.default_rng(seed)
            frame = generator.integers(len(self.times))
            pictures.append(self.frames[index, frame])
            captions.append(self.caption(index, float(self.times[frame]), generator))
        return CaptionedFrames(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), tuple(captions))


class ImageTextContrast(nn.Module):
    """CLIP's symmetric loss; frames with the very same caption in a batch all count as right."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Any,
        tokenizer: Callable[[list[str]], Tensor],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, batch: CaptionedFrames, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of one batch, on pictures shifted by a few pixels and changed in brightness."""
        scores = self._scores(self._vary(batch.frames.float() / 255, generator), batch.captions)
        target = self._same_caption(batch.captions).to(scores)
        loss = (_soft_cross_entropy(scores, target) + _soft_cross_entropy(scores.T, target)) / 2
        return {"loss": loss, "scale": self.model.logit_scale.exp()}

    @torch.no_grad()
    def evaluate(self, batch: CaptionedFrames, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss, and how often the best caption of the batch is one of the frame's own."""
        scores = self._scores(batch.frames.float() / 255, batch.captions)
        is_same = self._same_caption(batch.captions).to(scores.device)
        hits = is_same.gather(1, scores.argmax(dim=1, keepdim=True)).float().mean()
        return {"loss": _soft_cross_entropy(scores, is_same.to(scores)), "caption_accuracy": hits}

    def _scores(self, images: Tensor, captions: Sequence[str]) -> Float[Tensor, "B B"]:
        image = self.model.encode_image((images - self.mean) / self.std, normalize=True)
        text = self.model.encode_text(self.tokenizer(list(captions)).to(images.device), normalize=True)
        return self.model.logit_scale.exp() * image.float() @ text.float().T

    @staticmethod
    def _vary(images: Tensor, generator: torch.Generator) -> Tensor:
        size, margin = images.shape[-1], 4
        x, y = torch.randint(0, 2 * margin + 1, (2,), generator=generator).tolist()
        padded = F.pad(images, (margin,) * 4, mode="replicate")[..., y : y + size, x : x + size]
        gain = 0.8 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
        return (padded * gain.to(images.device)).clamp(0, 1)

    @staticmethod
    def _same_caption(captions: Sequence[str]) -> Tensor:
        number: dict[str, int] = {}
        ids: Int[Tensor, " B"] = torch.tensor([number.setdefault(text, len(number)) for text in captions])
        return ids[:, None] == ids[None, :]


def _soft_cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(scores, target / target.sum(dim=1, keepdim=True))
