"""Sound codes for frames of any length, by windows that overlap (paper section 3.3, appendix E for lengths)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from vab.codecs.base import Codec
from vab.codecs.sound import CodedSound
from vab.decoding.guidance import guide
from vab.decoding.iterative import decode_iteratively
from vab.decoding.options import DecodingOptions
from vab.features.grid import TimeGrid, as_fraction
from vab.models.files import ModelCard
from vab.models.vab.config import VABConfig
from vab.models.vab.model import VAB
from vab.shapes import Float, Int, Tensor
from vab.timing import num_samples, num_steps


@dataclass(frozen=True)
class Windows:
    """How a long clip is cut: windows of one size that begin where a codec step and a frame begin together."""

    num_steps: int
    num_frames: int
    hop: int
    """Points of ``grid`` from one window to the next."""
    grid: TimeGrid

    @classmethod
    def of(cls, config: VABConfig, window_seconds: float, overlap_seconds: float) -> Windows:
        """Windows of a length in seconds; the overlap is at least what is asked for.

        Raises:
            ValueError: the overlap leaves nothing to move by.
        """
        grid = TimeGrid.of(*as_fraction(config.frame_rate).as_integer_ratio(), config.visual_fps)
        hop = int(as_fraction(window_seconds - overlap_seconds) / grid.period)
        if hop < 1:
            raise ValueError(
                f"windows of {window_seconds} s that overlap by {overlap_seconds} s leave nothing to move by; "
                f"they can move by multiples of {float(grid.period):g} s"
            )
        num_steps, num_frames = (
            round(window_seconds * config.frame_rate),
            round(window_seconds * config.visual_fps),
        )
        return cls(num_steps, max(1, num_frames), hop, grid)

    def first_step(self, index: int) -> int:
        """Codec step at which a window begins."""
        return self.grid.step(index * self.hop)

    def first_frame(self, index: int) -> int:
        """Visual frame at which a window begins."""
        return self.grid.frame(index * self.hop)

    def count(self, num_steps: int) -> int:
        """Windows that cover a clip."""
        count = 1
        while self.first_step(count - 1) + self.num_steps < num_steps:
            count += 1
        return count


def generate_codes(
    model: VAB,
    visual: Sequence[Float[Tensor, "_ E"]],
    lengths: Sequence[int],
    *,
    windows: Windows,
    options: DecodingOptions,
    seeds: Sequence[int],
    batch_size: int = 8,
    on_window: Callable[[int], None] | None = None,
) -> list[Int[Tensor, "K _"]]:
    """Codes for each clip, of any lengths, batched over clips.

    The first window of a clip starts from nothing. Each later window takes over the overlap's tokens as a prompt and
    fills in the rest, so that the seam is the model's own. A clip shorter than a window is padded with its last
    frame, and the codes past its end are dropped.

    Args:
        model: on the device to run on.
        visual: features at ``model.config.visual_fps``, a tensor a clip.
        lengths: S, codec steps wanted of each clip.
        windows: how long clips are cut.
        options: of the decoding.
        seeds: one a clip; a clip's result depends on its own seed alone.
        batch_size: clips a model pass.
        on_window: called with the number of windows finished, for a progress bar.
    """
    device = model.no_visual.device
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    config = model.config
    done = [torch.zeros(config.num_codebooks, 0, dtype=torch.long, device=device) for _ in visual]
    for index in range(max(map(windows.count, lengths), default=0)):
        active = [clip for clip in range(len(visual)) if index < windows.count(lengths[clip])]
        for start in range(0, len(active), batch_size):
            batch = active[start : start + batch_size]
            frames = torch.stack(
                [_window_of(visual[clip], windows.first_frame(index), windows.num_frames) for clip in batch]
            )
            overlap = torch.stack([done[clip][:, windows.first_step(index) :] for clip in batch])
            codes = torch.nn.functional.pad(overlap, (0, windows.num_steps - overlap.shape[2]))
            is_masked = torch.ones_like(codes, dtype=torch.bool)
            is_masked[:, :, : overlap.shape[2]] = False
            codes = decode_iteratively(
                guide(_conditioned(model, frames.to(device)), options.cfg_scale),
                codes,
                is_masked,
                mask_token_id=config.mask_token_id,
                options=options,
                generators=[generators[clip] for clip in batch],
            )
            for row, clip in enumerate(batch):
                done[clip] = torch.cat([done[clip], codes[row, :, overlap.shape[2] :]], dim=1)
            if on_window:
                on_window(len(batch))
    return [codes[:, :length].cpu() for codes, length in zip(done, lengths, strict=True)]


class VABGenerator:
    """Frame features to sound: codes by windows, sound by the codec (``vab/models/base.py``)."""

    def __init__(self, model: VAB, card: ModelCard, codec: Codec) -> None:
        self.model = model
        self.codec = codec
        self.sample_rate = codec.sample_rate
        self.visual_fps = model.config.visual_fps
        self.windows = Windows.of(model.config, card.window_seconds, card.overlap_seconds)

    def num_windows(self, seconds: float) -> int:
        """Windows that a clip of this length takes."""
        return self.windows.count(self._num_steps(seconds))

    def generate(
        self,
        visual: Sequence[Float[Tensor, "_ E"]],
        seconds: Sequence[float],
        *,
        options: DecodingOptions,
        seeds: Sequence[int],
        batch_size: int,
        on_window: Callable[[int], None] | None = None,
    ) -> list[CodedSound]:
        """A sound for each clip; see ``generate_codes``."""
        all_codes = generate_codes(
            self.model,
            visual,
            [self._num_steps(length) for length in seconds],
            windows=self.windows,
            options=options,
            seeds=seeds,
            batch_size=batch_size,
            on_window=on_window,
        )
        lengths = [num_samples(length, self.sample_rate) for length in seconds]
        return [
            CodedSound(codes, self.codec, length) for codes, length in zip(all_codes, lengths, strict=True)
        ]

    def _num_steps(self, seconds: float) -> int:
        return num_steps(num_samples(seconds, self.sample_rate), self.codec.hop_length)


def _window_of(visual: Tensor, start: int, length: int) -> Tensor:
    """Frames [start, start + length), the last frame repeated past the end."""
    index = torch.arange(start, start + length).clamp(max=len(visual) - 1)
    return visual[index.to(visual.device)]


def _conditioned(model: VAB, visual: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    def logits_of(codes: Tensor, is_dropped: Tensor) -> Tensor:
        frames = visual if len(codes) == len(visual) else visual.repeat(2, 1, 1)
        return model(codes, frames, is_dropped=is_dropped)

    return logits_of
