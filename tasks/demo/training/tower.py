"""Training of a small open_clip tower: frames, captions that name object, material and state, and the state itself.

Captions alone teach a tower this small the object but hardly the moment. So a linear map, which only training has,
must also predict the visible state from the frame embedding: distances, velocities, time since the last event. The
ground truth is a target only; the embedding depends on the pixels alone.
"""

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
    """A batch of frames and what is to be seen on them."""

    frames: Tensor
    """uint8 [B, 3, size, size]."""
    captions: tuple[str, ...]
    state: Float[Tensor, "B Q"]
    """Numbers behind the words; NaN where nothing in the picture has the quantity."""

    def __len__(self) -> int:
        return len(self.captions)

    def to(self, device: torch.device | str) -> CaptionedFrames:
        """The same on another device."""
        return CaptionedFrames(self.frames.to(device), self.captions, self.state.to(device))


class FrameCaptions(Dataset[CaptionedFrames]):
    """One frame of a clip, a caption for its moment and the moment's state, chosen by the request's seed."""

    def __init__(
        self,
        frames: np.ndarray,
        times: np.ndarray,
        caption: Callable[[int, float, np.random.Generator], str],
        state: Callable[[int, float], Sequence[float]],
    ) -> None:
        """Wrap decoded frames.

        Args:
            frames: uint8 [clips, F, size, size, 3], in memory or memory-mapped.
            times: seconds [F], of each frame in its clip.
            caption: clip index, time and randomness to words.
            state: clip index and time to numbers, NaN for those that nothing in the picture has.
        """
        self.frames = frames
        self.times = times
        self.caption = caption
        self.state = state

    def __len__(self) -> int:
        return len(self.frames)

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> CaptionedFrames:
        """Frames, captions and states for (clip, seed) pairs."""
        frames, captions, states = [], [], []
        for index, seed in requests:
            generator = np.random.default_rng(seed)
            frame = generator.integers(len(self.times))
            frames.append(self.frames[index, frame])
            captions.append(self.caption(index, float(self.times[frame]), generator))
            states.append(self.state(index, float(self.times[frame])))
        return CaptionedFrames(
            torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2),
            tuple(captions),
            torch.tensor(states, dtype=torch.float32),
        )


class TowerObjective(nn.Module):
    """CLIP's symmetric loss, and the state told from the picture's embedding by one linear map.

    Frames with the very same caption in a batch all count as right.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Any,
        tokenizer: Callable[[list[str]], Tensor],
        mean: Sequence[float],
        std: Sequence[float],
        num_quantities: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.state = nn.Linear(model.visual.output_dim, num_quantities)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, batch: CaptionedFrames, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of one batch, on frames shifted by a few pixels and changed in brightness."""
        image = self._embed(self._vary(batch.frames.float() / 255, generator))
        scores = self._scores(image, batch.captions)
        target = self._same_caption(batch.captions).to(scores)
        words = (_soft_cross_entropy(scores, target) + _soft_cross_entropy(scores.T, target)) / 2
        state = self._state_error(image, batch.state)
        return {"loss": words + state, "words": words, "state": state, "scale": self.model.logit_scale.exp()}

    @torch.no_grad()
    def evaluate(self, batch: CaptionedFrames, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses, and how often the best caption of the batch is one of the frame's own."""
        image = self._embed(batch.frames.float() / 255)
        scores = self._scores(image, batch.captions)
        is_same = self._same_caption(batch.captions).to(scores.device)
        hits = is_same.gather(1, scores.argmax(dim=1, keepdim=True)).float().mean()
        return {
            "loss": _soft_cross_entropy(scores, is_same.to(scores)),
            "state": self._state_error(image, batch.state),
            "caption_accuracy": hits,
        }

    def _embed(self, images: Tensor) -> Float[Tensor, "B E"]:
        embedding: Tensor = self.model.encode_image((images - self.mean) / self.std, normalize=True)
        return embedding.float()

    def _scores(self, image: Float[Tensor, "B E"], captions: Sequence[str]) -> Float[Tensor, "B B"]:
        text = self.model.encode_text(self.tokenizer(list(captions)).to(image.device), normalize=True)
        return self.model.logit_scale.exp() * image @ text.float().T

    def _state_error(self, image: Float[Tensor, "B E"], state: Float[Tensor, "B Q"]) -> Float[Tensor, ""]:
        """Mean squared error over the quantities that a picture has."""
        told = self.state(image * image.shape[-1] ** 0.5)  # an embedding's entries then have unit size
        is_known = ~state.isnan()
        return F.mse_loss(told[is_known], state[is_known])

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
