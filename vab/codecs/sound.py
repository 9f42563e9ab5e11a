"""Codes as a sound that is decoded when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vab.codecs.base import Codec
from vab.shapes import Float, Int, Tensor


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
