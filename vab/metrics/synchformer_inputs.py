"""What Synchformer sees and hears of a clip: segments of 0.64 s, each begun half a segment after the one before.

Iashin et al., ICASSP 2024. A view says which part of a clip counts and how its pictures are cut; the two here are those
of the field's two evaluators.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F
from torchaudio.transforms import MelSpectrogram

from vab import media
from vab.shapes import Float, Tensor
from vab.timing import num_frames, num_samples
from vab.visual.avclip import FPS, SEGMENT_FRAMES, ZOOM
from vab.visual.preprocess import Preprocess

SAMPLE_RATE = 16_000
NUM_SEGMENTS = 14
"""Segments that the network compares at once."""
SHORTEST_SECONDS = (NUM_SEGMENTS + 1) * SEGMENT_FRAMES / 2 / FPS
"""That so many segments last: 4.8."""
NUM_MELS, NUM_WINDOWS = 128, 66
"""Of a segment of sound."""

_FRAME_STEP = SEGMENT_FRAMES // 2
_SAMPLES_A_FRAME = round(SAMPLE_RATE / FPS)
_MEL_MEAN, _MEL_STD = -4.2677393, 4.5689974
_LOG_OFFSET = 1e-6
_FRAMES_AT_ONCE = 32


@dataclass(frozen=True)
class View:
    """How an evaluator looks at a clip."""

    seconds: float
    """From the clip's beginning, that count."""
    is_repeated: bool
    """Whether a shorter clip begins again until so many seconds are full; otherwise it stays short."""
    skipped_frames: int
    """Before the first segment, of pictures and of sound."""
    zoom: float
    """Shorter side of a picture before its central square is cut, in sides of that square."""

    def fits(self, seconds: float) -> bool:
        """Whether a clip of this length is long enough for one comparison."""
        shortest = num_samples(SHORTEST_SECONDS, SAMPLE_RATE)
        return self.is_repeated or num_samples(seconds, SAMPLE_RATE) >= shortest


AV_BENCHMARK = View(8.0, is_repeated=False, skipped_frames=0, zoom=1.0)
"""MMAudio's evaluator, whose number is DeSync: the first 8 s."""
V_AURA = View(5.0, is_repeated=True, skipped_frames=2, zoom=ZOOM)
"""V-AURA's, whose number is Sync: the middle 4.8 s of the first 5 s, which clips of 2.56 s fill by beginning again."""


def picture_segments(
    path: Path, view: View, size: int, *, start: float, duration: float
) -> Float[Tensor, "S 3 T size size"]:
    """Normalised squares of a clip's pictures at ``FPS``, T of them in a segment.

    Raises:
        MediaError: the file cannot be read or has no video.
    """
    preprocess = Preprocess(size=round(view.zoom * size), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    edge = round((preprocess.size - size) / 2)
    seconds = min(duration, view.seconds)
    batches = media.iter_frames(path, FPS, start=start, duration=seconds, batch_size=_FRAMES_AT_ONCE)
    squares = [preprocess(frames)[:, :, edge : edge + size, edge : edge + size] for frames in batches]
    pictures = _filled(torch.cat(squares), num_frames(view.seconds, FPS), view)[view.skipped_frames :]
    return pictures.unfold(0, SEGMENT_FRAMES, _FRAME_STEP).movedim(-1, 2)


def mel_segments(waveform: Float[Tensor, "1 L"], view: View) -> Float[Tensor, "S 1 M W"]:
    """Log-mel bands of a sound at ``SAMPLE_RATE``, normalised; each segment is its own sound, with nothing around it.

    A sound under a segment has none.
    """
    wanted = num_samples(view.seconds, SAMPLE_RATE)
    sound = _filled(waveform[0, :wanted].float(), wanted, view)[view.skipped_frames * _SAMPLES_A_FRAME :]
    length, step = SEGMENT_FRAMES * _SAMPLES_A_FRAME, _FRAME_STEP * _SAMPLES_A_FRAME
    if len(sound) < length:
        return torch.zeros(0, 1, NUM_MELS, NUM_WINDOWS)
    with warnings.catch_warnings():
        # That the lowest bands are narrower than a bin and stay empty: the network was trained on such.
        warnings.simplefilter("ignore", UserWarning)
        bands = MelSpectrogram(SAMPLE_RATE, n_fft=1024, win_length=400, hop_length=160, n_mels=NUM_MELS)
    mel = (bands(sound.unfold(0, length, step)) + _LOG_OFFSET).log()
    # Filled with zeros before it is normalised: so the network was trained.
    mel = F.pad(mel, (0, NUM_WINDOWS - mel.shape[-1]))
    return (mel[:, None] - _MEL_MEAN) / (2 * _MEL_STD)


def _filled(stream: Tensor, length: int, view: View) -> Tensor:
    """A stream of pictures or samples, begun again until it is so long, where the view repeats."""
    if not view.is_repeated or not 0 < len(stream) < length:
        return stream
    return torch.cat([stream] * -(-length // len(stream)))[:length]
