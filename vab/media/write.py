"""Write frames and audio into one MP4 whose two streams start at the same instant."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from vab.errors import MediaError
from vab.media.audio import regroup
from vab.media.encode import add_audio_stream, checked_blocks, decoding_time, encode_blocks, open_output

AAC_BITS_PER_SECOND = 96_000


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
    try:
        sound = None if waveform is None else checked_blocks(map(torch.as_tensor, [waveform]))
    except ValueError as error:
        raise MediaError(f"{path}: {error}") from error
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise MediaError(f"{path}: a clip needs at least one frame")
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise MediaError(f"{path}: yuv420p needs even sides, not {width}x{height}; crop or pad by a pixel")
    with open_output(path, "check the folder and the rates", format="mp4") as output:
        video = output.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        # Without B-frames there is no reordering delay; one thread, as clips are written by many processes.
        video.options = {"preset": "superfast", "crf": "20", "bf": "0", "threads": "1"}
        video.time_base = Fraction(1, fps)
        streams = [_encoded(video, fps, chain([first], pictures))]
        if sound is not None:
            num_channels, blocks = sound
            audio = add_audio_stream(output, "aac", sample_rate, num_channels, bit_rate=AAC_BITS_PER_SECOND)
            streams.append(encode_blocks(audio, regroup(blocks, sample_rate)))
        output.start_encoding()
        # In order of time, so that the muxer never has to hold one stream to wait for the other.
        for packet in merge(*streams, key=decoding_time):
            output.mux_one(packet)


def _encoded(stream: Any, fps: int, frames: Iterable[np.ndarray]) -> Iterator[av.Packet]:
    for index, image in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, fps)
        yield from stream.encode(frame)
    yield from stream.encode(None)
