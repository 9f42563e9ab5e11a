"""Join a video's frames, copied or encoded anew, with a new sound of exactly their length."""

import io
from collections.abc import Callable, Iterable
from heapq import merge
from pathlib import Path

import av

from vab.errors import MediaError
from vab.media.audio import fit, regroup
from vab.media.container import open_input
from vab.media.encode import (
    FAST_AAC,
    add_audio_stream,
    checked_blocks,
    decoding_time,
    encode_blocks,
    encoder_rate,
    open_output,
    resample_blocks,
)
from vab.media.pictures import copy_pictures, encode_pictures
from vab.media.probe import probe
from vab.shapes import Float, Tensor
from vab.timing import num_samples

# Matroska cannot cut AAC short inside its last block of samples; Opus in it ends on the sample.
SOUND_CODECS = {".mp4": "aac", ".m4v": "aac", ".mov": "aac", ".mkv": "libopus", ".webm": "libopus"}
MUX_SUFFIXES = tuple(SOUND_CODECS)
FORMATS = {".mp4": "mp4", ".m4v": "ipod", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# Per channel. Six bits a sample is the most that AAC allows, and FFmpeg's encoder needs much.
BITS_PER_SAMPLE, MAX_BITS_PER_SECOND = 6, 192_000


def mux(
    video: str | Path,
    waveform: Float[Tensor, "C L"] | Iterable[Float[Tensor, "C L"]],
    sample_rate: int,
    out: str | Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    transcode: bool = False,
    on_complete: Callable[[], None] | None = None,
) -> None:
    """Write ``out``: the video's frames copied packet by packet, and ``waveform`` as its sound.

    The sound begins at the file's time zero and is cut, or followed by silence, to the end of the last
    picture, to the sample. Orientation, timing and tags of the video are kept; its own sound, subtitles and
    data are left out. ``.mp4``, ``.m4v`` and ``.mov`` get AAC, ``.mkv`` and ``.webm`` Opus. ``out`` appears
    only when complete and may be ``video`` itself.

    Args:
        video: a file with video.
        waveform: [C, L] in [-1, 1] with one or two channels, or pieces of it in order; pieces are drawn as
            the frames go by, so an hour needs no more memory than a minute.
        sample_rate: samples per second of ``waveform``; resampled only where the sound codec lacks the rate.
        out: name of the result; its suffix chooses the container.
        start: seconds into the video, with ``transcode`` only.
        duration: seconds of the result, where they are known; what is less than the whole needs ``transcode``.
        transcode: encode the frames anew instead of copying them, H.264 or in WebM VP9.
        on_complete: called when the file is whole, before it appears under its name.

    Raises:
        MediaError: the video cannot be read, or the container of ``out`` cannot hold it.
        ValueError: the waveform is not as described.
    """
    video, out = Path(video), Path(out)
    suffix = _checked_suffix(out)
    if duration is None:
        duration = probe(video).require_video().duration - start
    num_channels, blocks = checked_blocks(waveform)
    codec_name = SOUND_CODECS[suffix]
    rate = encoder_rate(codec_name, sample_rate)
    blocks = resample_blocks(blocks, num_channels, sample_rate, rate)
    blocks = regroup(fit(blocks, num_samples(duration, rate), rate), rate)
    options = {"fflags": "+bitexact"}  # without the random numbers by which Matroska tells its files apart
    encoder_options: dict[str, str] = {}
    if codec_name == "aac":
        # The end of the sound is written on the movie's clock, by default in milliseconds: too coarse.
        options |= {"movie_timescale": str(rate), "movflags": "+faststart"}
        encoder_options = FAST_AAC
    remedy = f"check the folder and the disk, or convert {video.name} to .mp4 first"
    with (
        open_output(out, remedy, on_complete=on_complete, container_options=options) as output,
        open_input(video) as source,
    ):
        if transcode:
            pictures = encode_pictures(video, output, start, duration)
        else:
            pictures = copy_pictures(source, output, video, out)
        stream = add_audio_stream(
            output,
            codec_name,
            rate,
            num_channels,
            bit_rate=num_channels * min(BITS_PER_SAMPLE * rate, MAX_BITS_PER_SECOND),
            options=encoder_options,
        )
        output.start_encoding()
        # In order of time, so that the muxer never has to hold one stream to wait for the other.
        for packet in merge(pictures, encode_blocks(stream, blocks), key=decoding_time):
            output.mux_one(packet)


def check_mux(video: Path, out: Path) -> None:
    """Refuse what ``mux`` would refuse, before there is a sound to join.

    Raises:
        MediaError: the container of ``out`` cannot hold the video's frames as they are.
    """
    suffix = _checked_suffix(out)
    if suffix != video.suffix.lower():
        with open_input(video) as source, av.open(io.BytesIO(), "w", format=FORMATS[suffix]) as output:
            copy_pictures(source, output, video, out)


def _checked_suffix(out: Path) -> str:
    suffix = out.suffix.lower()
    if suffix not in SOUND_CODECS:
        raise MediaError(f"{out}: cannot write {suffix or 'no suffix'}; use one of {' '.join(SOUND_CODECS)}")
    return suffix
