"""Makers of streams of audio beside the codes: latents, layouts and onsets, as TiVA has them, and BEATs' features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vab import checkpoint
from vab.audio.base import AudioAutoencoder
from vab.audio.beats import BEATsEncoder, load_beats
from vab.audio.layout import SAMPLE_RATE, LayoutResolution, layout_of, onset_curve_of, onsets_of
from vab.audio.loading import load_autoencoder
from vab.config import from_dict
from vab.features.info import StreamInfo
from vab.features.makers import CPU_WAVEFORMS, AudioInput, StreamMaker
from vab.shapes import Float, Int, Tensor
from vab.timing import num_samples


@dataclass(frozen=True)
class LatentsMaker(StreamMaker):
    """An autoencoder's latents; a clip is followed by silence to full length, as codes are."""

    autoencoder: AudioAutoencoder
    device: str = "cpu"
    """Where the autoencoder is."""

    @property
    @override
    def reads(self) -> AudioInput:
        return AudioInput(self.autoencoder.sample_rate)

    @override
    def describe(self, name: str) -> StreamInfo:
        return StreamInfo(
            name,
            kind="latents",
            source="audio",
            rate=float(self.autoencoder.rate),
            shape=self.autoencoder.latent_shape,
            maker=self.autoencoder.name,
            fingerprint=self.autoencoder.fingerprint,
        )

    @override
    def prepare(self, decoded: np.ndarray) -> Float[Tensor, "1 L"]:
        return torch.from_numpy(decoded)

    @override
    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        batch, lengths = _padded(clips, clip_seconds, self.describe("latents"), self.autoencoder.sample_rate)
        size = CPU_WAVEFORMS if self.device == "cpu" else len(batch)
        with torch.inference_mode():
            latents = [self.autoencoder.encode(piece.to(self.device)).cpu() for piece in batch.split(size)]
        return torch.cat(latents), lengths


@dataclass(frozen=True)
class BEATsMaker(StreamMaker):
    """BEATs' features (MaskVAT section 3.2); a clip is followed by silence to full length."""

    encoder: BEATsEncoder

    @property
    @override
    def reads(self) -> AudioInput:
        return AudioInput(self.encoder.sample_rate)

    @override
    def describe(self, name: str) -> StreamInfo:
        encoder = self.encoder
        return StreamInfo(
            name,
            kind="vectors",
            source="audio",
            rate=encoder.rate,
            shape=(encoder.feature_dim,),
            maker=encoder.name,
            fingerprint=encoder.fingerprint,
        )

    @override
    def prepare(self, decoded: np.ndarray) -> Float[Tensor, "1 L"]:
        return torch.from_numpy(decoded)

    @override
    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        batch, lengths = _padded(clips, clip_seconds, self.describe("beats"), self.encoder.sample_rate)
        return torch.cat([self.encoder.encode(waveform[None]).cpu() for waveform in batch]), lengths


@dataclass(frozen=True)
class RowsMaker(StreamMaker):
    """Layouts (TiVA section 3.1), or onsets in their place (section 4.3); silence follows a clip to full length."""

    name: str
    of: Callable[[Float[Tensor, "1 L"]], Float[Tensor, "M C"]]
    """The rows of a waveform."""
    resolution: LayoutResolution
    settings: dict[str, Any]
    """What tells its rows from others of the same shape."""

    @property
    @override
    def reads(self) -> AudioInput:
        return AudioInput(SAMPLE_RATE)

    @override
    def describe(self, name: str) -> StreamInfo:
        return StreamInfo(
            name,
            kind="vectors",
            source="audio",
            rate=float(self.resolution.rate),
            shape=(self.resolution.num_bands,),
            maker=self.name,
            fingerprint=checkpoint.fingerprint(self.settings, []),
        )

    @override
    def prepare(self, decoded: np.ndarray) -> Float[Tensor, "1 L"]:
        return torch.from_numpy(decoded)

    @override
    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        batch, lengths = _padded(clips, clip_seconds, self.describe(self.name), SAMPLE_RATE)
        return torch.stack([self.of(waveform) for waveform in batch]), lengths


def latents_maker(device: str, *, autoencoder: str = "spectral-16khz") -> LatentsMaker:
    """What ``vab extract --add latents`` uses; ``autoencoder`` is a name of ``load_autoencoder``."""
    return LatentsMaker(load_autoencoder(autoencoder, device=device), device)


def beats_maker(device: str, *, weights: str) -> BEATsMaker:
    """What ``vab extract --add beats --maker.weights FILE`` uses; the file is the authors'."""
    return BEATsMaker(load_beats(Path(weights).expanduser(), device=device))


def layout_maker(device: str, **resolution: float) -> RowsMaker:
    """What ``vab extract --add layout`` uses; ``resolution`` are numbers of ``LayoutResolution``."""
    size = from_dict(LayoutResolution, resolution, source="--maker")
    return RowsMaker("layout", partial(layout_of, resolution=size), size, dataclasses.asdict(size))


def onset_curve_maker(device: str) -> RowsMaker:
    """What ``vab extract --add onset-curve`` uses."""
    return _onsets_maker("onset-curve", onset_curve_of)


def onsets_maker(device: str) -> RowsMaker:
    """What ``vab extract --add onsets`` uses."""
    return _onsets_maker("onsets", onsets_of)


def _onsets_maker(name: str, of: Callable[..., Float[Tensor, "M 1"]]) -> RowsMaker:
    size = LayoutResolution(num_bands=1)
    return RowsMaker(name, partial(of, rate=size.rate), size, {"of": of.__name__, "rate": size.rate})


def _padded(
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
