"""What ImageBind hears and sees of a clip, as its authors' loaders have it.

Three pieces of sound and five of frames, each of 2 s and spread over the clip; a piece of frames is two of them, in
three crops (Girdhar et al., CVPR 2023).
"""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

import torch
from torch.nn import functional as F
from torchaudio.compliance import kaldi

from vab import media
from vab.shapes import Float, Tensor
from vab.timing import num_frames
from vab.visual.preprocess import Preprocess

SAMPLE_RATE = 16_000
NUM_MELS, NUM_WINDOWS = 128, 204
"""Of a piece of sound."""

_PIECE_SECONDS = 2.0
_SOUND_PIECES, _PICTURE_PIECES, _CROPS = 3, 5, 3
_WINDOW = SAMPLE_RATE * 25 // 1000
_MEL_MEAN, _MEL_STD = -4.268, 9.138
_FPS = 25.0
"""The first and the last picture of a piece are those of a video of this rate."""
_FRAMES_AT_ONCE = 8


def mel_pieces(waveform: Float[Tensor, "1 L"]) -> Float[Tensor, "N 1 M T"]:
    """Log-mel bands of three pieces, spread over a sound at ``SAMPLE_RATE``, each filled up to 2.06 s with zeros."""
    pieces = []
    for start in _starts(waveform.shape[1] / SAMPLE_RATE, _SOUND_PIECES):
        first = int(start * SAMPLE_RATE)
        piece = waveform[:, first : first + int(_PIECE_SECONDS * SAMPLE_RATE)].float()
        piece = F.pad(piece, (0, max(0, _WINDOW - piece.shape[1])))
        bands = kaldi.fbank(
            piece - piece.mean(),
            htk_compat=True,
            sample_frequency=SAMPLE_RATE,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=NUM_MELS,
            dither=0.0,
        )
        # Filled before it is normalised: that is how the network knows the end of its pieces.
        pieces.append(F.pad(bands.T, (0, NUM_WINDOWS - len(bands))))
    return (torch.stack(pieces)[:, None] - _MEL_MEAN) / _MEL_STD


def picture_pieces(path: Path, size: int, start: float, duration: float) -> Float[Tensor, "N 3 2 size size"]:
    """Five pieces of a clip, each its first and last picture, in three crops along the longer side.

    Raises:
        MediaError: the file cannot be read or has no video.
    """
    last = num_frames(duration, _FPS) - 1
    length = round(_PIECE_SECONDS * _FPS)
    firsts = [round(begin * _FPS) for begin in _starts(duration, _PICTURE_PIECES)]
    pairs = [(min(first, last), min(first + length - 1, last)) for first in firsts]
    wanted = {index for pair in pairs for index in pair}
    batches = media.iter_frames(path, _FPS, start=start, duration=duration, batch_size=_FRAMES_AT_ONCE)
    pictures = {
        index: _scaled(torch.from_numpy(frame), size)
        for index, frame in enumerate(chain.from_iterable(batches))
        if index in wanted
    }
    pieces = [torch.stack([pictures[index] for index in pair], dim=1) for pair in pairs]
    return torch.stack([crop for piece in pieces for crop in _crops(piece, size)])


def _starts(seconds: float, count: int) -> list[float]:
    """Where pieces of a clip begin, evenly from its beginning to the last whole piece; they overlap in short clips."""
    latest = max(0.0, seconds - _PIECE_SECONDS)
    return [latest * index / (count - 1) for index in range(count)]


def _scaled(frame: Tensor, size: int) -> Float[Tensor, "3 H W"]:
    """A frame uint8 [height, width, 3], normalised, its shorter side ``size``; without a filter, as its authors."""
    height, width = frame.shape[:2]
    shape = (size, width * size // height) if height <= width else (height * size // width, size)
    pixels = frame.permute(2, 0, 1)[None].float() / 255
    statistics = Preprocess()
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (statistics.mean, statistics.std))
    return (F.interpolate(pixels, shape, mode="bilinear", align_corners=False)[0] - mean) / std


def _crops(piece: Tensor, size: int) -> list[Tensor]:
    """Squares of [3, 2, H, W] at the beginning, middle and end of its longer side."""
    corners = (
        [math.ceil((extent - size) * index / (_CROPS - 1)) for extent in piece.shape[2:]]
        for index in range(_CROPS)
    )
    return [piece[:, :, top : top + size, left : left + size] for top, left in corners]
