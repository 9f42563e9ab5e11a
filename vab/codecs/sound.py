"""Codes as a sound that is decoded when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vab.codecs.base import Codec
from vab.shapes import Float, Int, Tensor
from vab.timing import num_samples, num_steps


@dataclass(frozen=True)
class CodedSound:
    """A sound held as codes: 32 bytes a codec step instead of a kilobyte of samples."""

    codes: Int[Tensor, "K S"]
    codec: Codec
    num_samples: int
    """L; the codec's last samples beyond it are cut."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.codec.sample_rate

    def pieces(self) -> Iterator[Float[Tensor, "1 l"]]:
        """The sound in consecutive pieces, on the CPU, within [-1, 1]."""
        left = self.num_samples
        for piece in self.codec.decode_pieces(self.codes[None]):
            if left > 0:
                yield piece[0, :, :left].float().cpu().clamp(-1, 1)
            left -= piece.shape[-1]


def steps_of(codec: Codec, seconds: float) -> int:
    """Codec steps that a sound of this length takes."""
    return num_steps(num_samples(seconds, codec.sample_rate), codec.hop_length)


def coded_sounds(
    codes: Sequence[Int[Tensor, "K _"]], codec: Codec, seconds: Sequence[float]
) -> list[CodedSound]:
    """Codes of several clips as sounds of these lengths."""
    return [
        CodedSound(each, codec, num_samples(length, codec.sample_rate))
        for each, length in zip(codes, seconds, strict=True)
    ]
