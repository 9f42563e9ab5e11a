"""Write sound alone: WAV and FLAC of 16 bits, MP3, M4A."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av

from vab.errors import MediaError
from vab.media.atomic import complete_media_file
from vab.media.blocks import regroup
from vab.media.encode import add_audio_stream, checked_blocks, encode_blocks, encoder_rate, resample_blocks
from vab.shapes import Float, Tensor

CODECS = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".m4a": "aac"}
AUDIO_SUFFIXES = tuple(CODECS)
SETTINGS: dict[str, dict[str, Any]] = {
    "pcm_s16le": {"format": "s16"},
    "flac": {"format": "s16"},
    "libmp3lame": {"bit_rate": 192_000},
    "aac": {"bit_rate": 192_000, "options": {"aac_coder": "fast"}},
}


def write_audio(
    path: str | Path,
    waveform: Float[Tensor, "C L"] | Iterable[Float[Tensor, "C L"]],
    sample_rate: int,
    *,
    on_complete: Callable[[], None] | None = None,
) -> None:
    """Write ``waveform`` [C, L] in [-1, 1], one or two channels, or pieces of it in order.

    The suffix chooses the format; MP3 and M4A are resampled where they lack the rate. The file appears only when
    complete; ``on_complete`` is called just before.

    Raises:
        MediaError: the suffix is none of ``CODECS``, or the file cannot be written.
        ValueError: the waveform is not as described.
    """
    path = Path(path)
    codec_name = CODECS.get(path.suffix.lower())
    if codec_name is None:
        raise MediaError(f"{path}: sound alone is written as one of {' '.join(CODECS)}; change the suffix")
    num_channels, blocks = checked_blocks(waveform)
    is_lossless = path.suffix.lower() in (".wav", ".flac")
    rate = sample_rate if is_lossless else encoder_rate(codec_name, sample_rate)
    blocks = resample_blocks(blocks, num_channels, sample_rate, rate)
    with complete_media_file(path) as partial:
        try:
            with av.open(str(partial), "w") as output:
                stream = add_audio_stream(output, codec_name, rate, num_channels, **SETTINGS[codec_name])
                for packet in encode_blocks(stream, regroup(blocks, rate)):
                    output.mux_one(packet)
            if on_complete:
                on_complete()
        except av.FFmpegError as error:
            raise MediaError(
                f"{path}: cannot be written ({error.strerror}); check the folder and the disk"
            ) from error
