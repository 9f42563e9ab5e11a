"""Hear a model learn: true and generated sound of a few clips in TensorBoard at every validation."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from tasks.pictures import draw_spectrogram, new_figure
from vab.codecs import Codec
from vab.decoding.in_windows import decode_in_windows
from vab.decoding.masks import mask_out
from vab.decoding.options import DecodingOptions
from vab.decoding.windows import Windows
from vab.features import FeatureBatch
from vab.shapes import Int, Tensor


def fill_in(model: Any, batch: FeatureBatch, options: DecodingOptions) -> list[Int[Tensor, "K S"]]:
    """The codebooks of each clip that are not given, from its frames and those that are."""
    is_masked = torch.zeros_like(batch.streams["codes"], dtype=torch.bool)
    is_masked[:, model.config.num_given_codebooks :] = True
    seconds = batch.streams["codes"].shape[2] / model.config.frame_rate
    return decode_in_windows(
        model,
        list(mask_out(batch.streams["codes"], is_masked, model.config.mask_token_id)),
        list(batch.streams["clip"]),
        windows=Windows.of(model.config, seconds, 0.0),
        options=options,
        seeds=range(len(batch)),
    )


class SampleLogger:
    """Generates sound for fixed clips with fixed seeds, so that progress can be compared by ear and eye."""

    def __init__(self, codec: Codec, batch: FeatureBatch, options: DecodingOptions) -> None:
        """Keep the clips to do.

        Args:
            codec: to make codes heard.
            batch: the clips, a few of the validation set.
            options: of the decoding.
        """
        self.codec = codec
        self.batch = batch
        self.options = options

    @torch.no_grad()
    def __call__(self, objective: Any, board: SummaryWriter, step: int) -> None:
        """Generate, decode, log; with averaged weights where training averages."""
        for index, codes in enumerate(fill_in(objective.model, self.batch, self.options)):
            self._log(board, index, codes.cpu(), step)

    def _log(self, board: SummaryWriter, index: int, generated: torch.Tensor, step: int) -> None:
        rate = self.codec.sample_rate
        figure, axes = new_figure(2)
        for row, (kind, codes) in enumerate(
            (("true", self.batch.streams["codes"][index]), ("generated", generated))
        ):
            sound = self.codec.decode(codes[None].to(torch.long))[0].float().cpu().clamp(-1, 1)
            draw_spectrogram(axes[row], sound, rate, title=f"{kind}: {self.batch.ids[index]}")
            board.add_audio(f"{self.batch.ids[index]}/{kind}", sound[0], step, sample_rate=rate)
        board.add_figure(self.batch.ids[index], figure, step)
