"""Write frames and audio into one MP4 whose two streams start at the same instant."""

from collections.abc import Iterable
from fractions import Fraction
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
    frames: Iterable[np.ndarray],
    fps: int,
    samples: np.ndarray | None,
    sample_rate: int,
) -> None:
    first = next(iter(frames), None)
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
    audio = None
    if samples is not None:
        audio = container.add_stream("aac", rate=sample_rate)
        audio.layout = "mono" if samples.shape[0] == 1 else "stereo"
        audio.bit_rate = AAC_BITS_PER_SECOND
        audio.time_base = Fraction(1, sample_rate)

    block, start = AUDIO_BLOCK_SECONDS * sample_rate, 0
    image: np.ndarray | None = first
    index = 0
    while image is not None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, fps)
        container.mux(video.encode(frame))
        index += 1
        # Sound keeps pace with the frames, so the muxer never holds more than about a second.
        if audio is not None and samples is not None and start < index / fps * sample_rate:
            _encode_block(container, audio, samples, start, start + block, sample_rate)
            start += block
        image = next(iter(frames), None)
    container.mux(video.encode(None))
    if audio is not None and samples is not None:
        while start < samples.shape[1]:
            _encode_block(container, audio, samples, start, start + block, sample_rate)
            start += block
        container.mux(audio.encode(None))


def _encode_block(
    container: av.container.OutputContainer,
    audio: av.AudioStream,
    samples: np.ndarray,
    start: int,
    stop: int,
    sample_rate: int,
) -> None:
    piece = samples[:, start:stop]
    if piece.shape[1] == 0:
        return
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(piece), format="fltp", layout="mono" if samples.shape[0] == 1 else "stereo"
    )
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, Fraction(1, sample_rate)
    container.mux(audio.encode(frame))
