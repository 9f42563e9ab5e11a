"""Write frames and audio into one MP4 whose two streams start at the same instant."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import torch

from vab.errors import MediaError
from vab.media.encode import complete_media_file

AAC_BITS_PER_SECOND = 96_000
# One second of sound at a time goes to the encoder, so an hour needs no second copy of itself.
AUDIO_BLOCK_SECONDS = 1


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: int,
    waveform: np.ndarray | torch.Tensor | None,
    sample_rate: int,
) -> None:
    """Encode H.264 (yuv420p) and AAC into an MP4; the file appears only when it is complete.

    ``frames`` are uint8 ``[height, width, 3]`` with even sides, frame ``k`` shown at ``k / fps`` seconds;
    they are consumed one at a time. ``waveform`` is ``[C, L]`` in [-1, 1] with one or two channels, or None
    for a silent clip. The AAC encoder's priming is undone by the MP4 edit list: sample 0 sounds at time 0.
    Raises :class:`MediaError` when there is no frame, or a shape or a value does not fit.
    """
    samples = _checked_waveform(path, waveform)
    with complete_media_file(path) as partial:
        try:
            with av.open(str(partial), "w", format="mp4") as container:
                _encode(container, path, iter(frames), fps, samples, sample_rate)
        except av.FFmpegError as error:
            raise MediaError(
                f"{path}: cannot be written ({error}); check the folder and the rates"
            ) from error


def _checked_waveform(path: Path, waveform: np.ndarray | torch.Tensor | None) -> np.ndarray | None:
    if waveform is None:
        return None
    samples = np.asarray(waveform.detach().cpu() if isinstance(waveform, torch.Tensor) else waveform)
    if samples.ndim != 2 or samples.shape[0] not in (1, 2):
        raise MediaError(f"{path}: sound must be [1 or 2 channels, samples], not {list(samples.shape)}")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: the sound holds values that are not finite; check what made it")
    return samples.astype(np.float32, copy=False)


def _encode(
    container: av.container.OutputContainer,
    path: Path,
    frames: Iterator[np.ndarray],
    fps: int,
    samples: np.ndarray | None,
    sample_rate: int,
) -> None:
    first = next(frames, None)
    if first is None:
        raise MediaError(f"{path}: a clip needs at least one frame")
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise MediaError(f"{path}: yuv420p needs even sides, not {width}x{height}; crop or pad by a pixel")
    video = container.add_stream("libx264", rate=fps)
    video.width, video.height, video.pix_fmt = width, height, "yuv420p"
    # Without B-frames there is no reordering delay; one thread, as clips are written by many processes.
    video.options = {"preset": "superfast", "crf": "20", "bf": "0", "threads": "1"}
    video.time_base = Fraction(1, fps)
    packets = iter(()) if samples is None else _encoded_audio(container, samples, sample_rate)
    ahead = 0
    for index, image in enumerate(chain([first], frames), start=1):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = index - 1, Fraction(1, fps)
        container.mux(video.encode(frame))
        # The audio keeps pace with the frames, so the muxer never holds more than about a second.
        if ahead < index / fps:
            container.mux(next(packets, []))
            ahead += AUDIO_BLOCK_SECONDS
    container.mux(video.encode(None))
    for block in packets:
        container.mux(block)


def _encoded_audio(
    container: av.container.OutputContainer, samples: np.ndarray, sample_rate: int
) -> Iterator[list[av.Packet]]:
    """Add a stream of the samples; return the packets of each block, and those that the encoder held back."""
    layout = "mono" if samples.shape[0] == 1 else "stereo"
    stream = container.add_stream("aac", rate=sample_rate)
    stream.layout, stream.bit_rate = layout, AAC_BITS_PER_SECOND
    stream.time_base = Fraction(1, sample_rate)

    def blocks() -> Iterator[list[av.Packet]]:
        for start in range(0, samples.shape[1], AUDIO_BLOCK_SECONDS * sample_rate):
            piece = np.ascontiguousarray(samples[:, start : start + AUDIO_BLOCK_SECONDS * sample_rate])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
            yield stream.encode(frame)
        yield stream.encode(None)

    return blocks()
