"""Small files made on the spot, with pictures and sound whose every moment is known."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

GREY_STEP = 9
CLOCK = Fraction(1, 12800)


def grey(index: int) -> int:
    """Brightness of picture ``index`` in a made clip; tells 24 pictures apart after any codec here."""
    return 20 + GREY_STEP * (index % 24)


def picture_numbers(frames: np.ndarray) -> list[int]:
    """Which made picture each frame [n, height, width, 3] shows, modulo 24."""
    return [round((float(frame.mean()) - 20) / GREY_STEP) for frame in frames]


def clicks(times: Sequence[float], seconds: float, sample_rate: int, num_channels: int = 1) -> np.ndarray:
    """Silence with a 2 ms burst at each of ``times``: float32 [C, L]."""
    sound = np.zeros((num_channels, round(seconds * sample_rate)), np.float32)
    length = round(0.002 * sample_rate)
    for time in times:
        at = round(time * sample_rate)
        sound[:, at : at + length] = 0.9 * np.cos(np.linspace(0, 6 * np.pi, length))
    return sound


def click_times(waveform: np.ndarray, sample_rate: int) -> list[float]:
    """Seconds at which bursts of :func:`clicks` begin in a mono waveform [1, L], in order."""
    template = clicks([0], 0.002, sample_rate)[0]
    match = np.abs(np.correlate(waveform[0], template, mode="valid"))
    found = []
    while match.max() > 0.3 * float((template**2).sum()):
        at = int(match.argmax())
        found.append(at / sample_rate)
        match[max(0, at - sample_rate // 20) : at + sample_rate // 20] = 0
    return sorted(found)


def write_made_clip(
    path: Path,
    times: Sequence[float] | None,
    *,
    last_seconds: float = 0.04,
    pictures: Sequence[np.ndarray] | None = None,
    size: tuple[int, int] = (64, 48),
    video_codec: str = "libx264",
    pixel_format: str = "yuv420p",
    video_options: dict[str, str] | None = None,
    rotation: float = 0,
    is_mirrored: bool = False,
    sound: np.ndarray | None = None,
    sample_rate: int = 48_000,
    audio_codec: str = "aac",
    audio_start: float = 0.0,
    layout: str | None = None,
    tags: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write pictures shown from ``times`` on (None: no pictures) and sound from ``audio_start`` on."""
    with av.open(str(path), "w", container_options=container_options or {}) as output:
        output.metadata.update(tags or {})
        video = audio = None
        if times is not None:
            video = output.add_stream(video_codec, rate=25, options=video_options or {"crf": "4", "g": "10"})
            if pictures is None:
                pictures = [
                    np.full((size[1], size[0], 3), grey(index), np.uint8) for index in range(len(times))
                ]
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt, video.time_base = pixel_format, CLOCK
            video.codec_context.thread_count = 1
            video.codec_context.time_base = CLOCK
            if rotation or is_mirrored:
                video.set_display_rotation(rotation, hflip=is_mirrored)
        if sound is not None:
            layout = layout or {1: "mono", 2: "stereo"}[sound.shape[0]]
            audio = output.add_stream(audio_codec, rate=sample_rate, layout=layout)
        output.start_encoding()
        packets = []
        if video is not None:
            ends = [*times[1:], times[-1] + last_seconds]
            for picture, begin, end in zip(pictures, times, ends, strict=True):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round(begin / CLOCK), CLOCK
                frame.duration = round(end / CLOCK) - frame.pts
                packets += video.encode(frame)
            packets += video.encode(None)
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = sample_rate, Fraction(1, sample_rate)
            frame.pts = round(audio_start * sample_rate)
            packets += [*audio.encode(frame), *audio.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


def steady(count: int, fps: float = 25, begin: float = 0.0) -> list[float]:
    """Times of ``count`` pictures at a steady rate."""
    return [begin + index / fps for index in range(count)]
