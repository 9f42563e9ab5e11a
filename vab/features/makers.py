"""What turns a clip's audio or frames into one stream: codecs, visual encoders, and whatever another package brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from typing_extensions import override

from vab.codecs.base import Codec
from vab.errors import ConfigError, StoreError
from vab.features.info import CodecFacts, StreamInfo
from vab.shapes import Float, Int, Tensor
from vab.timing import num_samples
from vab.visual.base import VisualEncoder

ENTRY_POINTS = "vab.streams"
"""Group under which packages name functions from a device ("cpu", "cuda") to a ``StreamMaker``."""
CPU_WAVEFORMS = 1
"""Clips a codec encodes at a time on a CPU."""
OWN = {
    "latents": "vab.features.audio_makers:latents_maker",
    "layout": "vab.features.audio_makers:layout_maker",
    "onset-curve": "vab.features.audio_makers:onset_curve_maker",
    "onsets": "vab.features.audio_makers:onsets_maker",
    "beats": "vab.features.audio_makers:beats_maker",
    "demo-audio": "vab.models.vab.audio_stream:demo_audio_maker",
}
"""Makers of the package's own that are found by the stream's name, as functions like those of other packages."""


@dataclass(frozen=True)
class AudioInput:
    """A maker's wish: a waveform, float32 [1, L]."""

    sample_rate: int


@dataclass(frozen=True)
class FramesInput:
    """A maker's wish: frames, uint8 [F, height, width, 3]."""

    fps: float
    image_size: int
    """The shorter side is shrunk to this."""
    frames_per_chunk: int = field(default=1, compare=False)
    """Frames that are encoded together. No chunk's features depend on another's: long videos are encoded in pieces."""


@runtime_checkable
class StreamMaker(Protocol):
    """Audio or frames of a clip in, the features of one stream out."""

    @property
    def reads(self) -> AudioInput | FramesInput:
        """What of a clip it takes."""
        ...

    def describe(self, name: str) -> StreamInfo:
        """The stream that it makes, under this name."""
        ...

    def prepare(self, decoded: np.ndarray) -> Tensor:
        """What ``encode`` takes of a clip, on the CPU; called from several threads.

        Args:
            decoded: what it reads, unpadded and never empty.
        """
        return torch.from_numpy(decoded)

    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        """Features of several clips, on the CPU, in the shape of ``StreamInfo.batch_shape``.

        Args:
            clips: what ``prepare`` gave of each.
            clip_seconds: what every clip is cut or padded to.

        Returns:
            The features, padded to full length, and how many steps of each clip are real.
        """
        ...


@dataclass(frozen=True)
class CodecMaker(StreamMaker):
    """A codec's codes; a clip is followed by silence to full length (paper appendix B.1)."""

    codec: Codec
    device: str = "cpu"
    """Where the codec is."""

    @property
    @override
    def reads(self) -> AudioInput:
        return AudioInput(int(self.codec.sample_rate))

    @override
    def describe(self, name: str) -> StreamInfo:
        """Codes of 16 bits.

        Raises:
            ValueError: codes that do not fit.
        """
        codec = self.codec
        if codec.codebook_size > torch.iinfo(torch.int16).max + 1:
            raise ValueError(
                f"{codec.name} has {codec.codebook_size} entries a codebook; a store holds 16-bit codes"
            )
        return StreamInfo(
            name,
            kind="codes",
            source="audio",
            rate=float(codec.sample_rate / codec.hop_length),
            shape=(int(codec.num_codebooks),),
            maker=codec.name,
            fingerprint=codec.fingerprint,
            dtype="int16",
            codec=CodecFacts(int(codec.sample_rate), int(codec.hop_length), int(codec.codebook_size)),
        )

    @override
    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        batch, lengths = padded(clips, clip_seconds, self.describe("codes"), self.codec.sample_rate)
        return encode_in_pieces(self.codec.encode, batch, self.device), lengths


def padded(
    clips: Sequence[Tensor], clip_seconds: float, stream: StreamInfo, sample_rate: int
) -> tuple[Float[Tensor, "B 1 L"], Int[Tensor, " B"]]:
    """Waveforms cut or followed by silence, and the steps of each that are real."""
    batch = torch.zeros(len(clips), 1, num_samples(clip_seconds, sample_rate))
    lengths = []
    for row, waveform in zip(batch, clips, strict=True):
        kept = waveform[:, : batch.shape[2]]
        row[:, : kept.shape[1]] = kept
        lengths.append(stream.num_steps(kept.shape[1] / sample_rate))
    return batch, torch.tensor(lengths)


def encode_in_pieces(
    encode: Callable[[Tensor], Tensor], batch: Float[Tensor, "B 1 L"], device: str
) -> Tensor:
    """Encode a batch as a device likes it: a GPU at once, a CPU a clip at a time (DAC takes gigabytes for each)."""
    size = CPU_WAVEFORMS if device == "cpu" else len(batch)
    with torch.inference_mode():
        return torch.cat([encode(piece.to(device)).cpu() for piece in batch.split(size)])


@dataclass(frozen=True)
class VisualMaker(StreamMaker):
    """A visual encoder's features; a clip's last one repeats to full length (paper appendix B.1)."""

    encoder: VisualEncoder
    fps: float
    """Frames a second that the encoder is given; its own where it has one."""
    device: str = "cpu"
    """Where the encoder is."""

    def __post_init__(self) -> None:
        if self.encoder.fps not in (None, self.fps):
            raise ValueError(
                f"{self.encoder.name} takes {self.encoder.fps:g} frames a second, not {self.fps:g}"
            )

    @property
    @override
    def reads(self) -> FramesInput:
        return FramesInput(float(self.fps), int(self.encoder.image_size), int(self.encoder.frames_per_chunk))

    @override
    def describe(self, name: str) -> StreamInfo:
        encoder = self.encoder
        return StreamInfo(
            name,
            kind="vectors" if len(encoder.feature_shape) == 1 else "latents",
            source="frames",
            rate=float(self.fps) * encoder.features_per_chunk / encoder.frames_per_chunk,
            shape=tuple(encoder.feature_shape),
            maker=encoder.name,
            fingerprint=encoder.fingerprint,
        )

    @override
    def prepare(self, decoded: np.ndarray) -> Float[Tensor, "F 3 size size"]:
        return self.encoder.preprocess(decoded)

    @override
    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        stream, encoder = self.describe("visual"), self.encoder
        num_chunks = [-(-len(clip) // encoder.frames_per_chunk) for clip in clips]
        chunks = [
            repeat_last(clip, count * encoder.frames_per_chunk)
            for clip, count in zip(clips, num_chunks, strict=True)
        ]
        with torch.inference_mode():
            features = encoder.encode_frames(torch.cat(chunks).to(self.device)).cpu()
        total = stream.num_steps(clip_seconds)
        lengths = [min(total, stream.num_steps(len(clip) / self.fps)) for clip in clips]
        each = features.split([count * encoder.features_per_chunk for count in num_chunks])
        padded = [repeat_last(own[:length], total) for own, length in zip(each, lengths, strict=True)]
        return torch.stack(padded), torch.tensor(lengths)


def repeat_last(steps: Tensor, length: int) -> Tensor:
    """Steps [n, ...] followed by the last of them, up to ``length``; n where there are more."""
    return torch.cat([steps, steps[-1:].expand(max(0, length - len(steps)), *steps.shape[1:])])


def maker_names() -> list[str]:
    """Streams that the package itself or an installed one makes by their name."""
    return sorted(_makers_by_name())


def _makers_by_name() -> dict[str, EntryPoint]:
    own = [EntryPoint(name, value, ENTRY_POINTS) for name, value in OWN.items()]
    return {point.name: point for point in [*entry_points(group=ENTRY_POINTS), *own]}


def load_maker(name: str, device: str, **settings: Any) -> StreamMaker:
    """A maker of the package's own, or one that another package names under the entry point group ``vab.streams``.

    Args:
        name: of the stream.
        device: "cpu" or "cuda".
        settings: the maker's own options.

    Raises:
        StoreError: there is none of this name.
        ConfigError: it has no such option.
    """
    points = _makers_by_name()
    if name not in points:
        raise StoreError(
            f"--add {name}: no package makes such a stream (there are: {', '.join(sorted(points))}; others are entry "
            f"points of {ENTRY_POINTS}); name a --codec or an --encoder that does"
        )
    make = points[name].load()
    try:
        maker: StreamMaker = make(device, **settings)
    except TypeError as error:
        raise ConfigError(f"--add {name}: {error}; options go as --maker.NAME VALUE") from error
    return maker
