"""Write sound alone, as 16-bit WAV or FLAC."""

from collections.abc import Iterable
from pathlib import Path

import av

from vab.errors import MediaError
from vab.media.atomic import complete_media_file
from vab.media.blocks import regroup
from vab.media.encode import add_audio_stream, checked_blocks, encode_blocks
from vab.shapes import Float, Tensor

CODECS = {".wav": "pcm_s16le", ".flac": "flac"}


def write_audio(
    path: str | Path, waveform: Float[Tensor, "C L"] | Iterable[Float[Tensor, "C L"]], sample_rate: int
) -> None:
    """Write ``waveform`` [C, L] in [-1, 1], one or two channels, or pieces of it in order, as 16-bit sound.

    The suffix chooses WAV or FLAC. The file appears only when complete.

    Raises:
        MediaError: the suffix is neither ``.wav`` nor ``.flac``, or the file cannot be written.
        ValueError: the waveform is not as described.
    """
    path = Path(path)
    codec_name = CODECS.get(path.suffix.lower())
    if codec_name is None:
        raise MediaError(f"{path}: sound alone is written as {' or '.join(CODECS)}; change the suffix")
    num_channels, blocks = checked_blocks(waveform)
    with complete_media_file(path) as partial:
        try:
            with av.open(str(partial), "w") as output:
                settings = {"format": "s16"}
                stream = add_audio_stream(output, codec_name, sample_rate, num_channels, **settings)
                for packet in encode_blocks(stream, regroup(blocks, sample_rate)):
                    output.mux_one(packet)
        except av.FFmpegError as error:
            raise MediaError(
                f"{path}: cannot be written ({error.strerror}); check the folder and the disk"
            ) from error
