"""Makers of streams of audio beside the codes: latents, layouts and onsets, as TiVA has them, and BEATs' features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from vab import checkpoint
from vab.audio.base import AudioAutoencoder
from vab.audio.beats import load_beats
from vab.audio.layout import SAMPLE_RATE, LayoutResolution, layout_of, onset_curve_of, onsets_of
from vab.audio.loading import load_autoencoder
from vab.config import from_dict
from vab.features.info import StreamInfo
from vab.features.makers import AudioInput, StreamMaker, encode_in_pieces, padded
from vab.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class AudioMaker(StreamMaker):
    """Features of waveforms; a clip is followed by silence to full length, as codes are."""

    stream: StreamInfo
    sample_rate: int
    features_of: Callable[[Float[Tensor, "B 1 L"]], Tensor]

    @property
    @override
    def reads(self) -> AudioInput:
        return AudioInput(self.sample_rate)

    @override
    def describe(self, name: str) -> StreamInfo:
        return dataclasses.replace(self.stream, name=name)

    @override
    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        batch, lengths = padded(clips, clip_seconds, self.stream, self.sample_rate)
        return self.features_of(batch), lengths


def latents_maker(device: str, *, autoencoder: str = "spectral-16khz") -> AudioMaker:
    """What ``vab extract --add latents`` uses; ``autoencoder`` is a name of ``load_autoencoder``."""
    return latents_of(load_autoencoder(autoencoder, device=device), device)


def latents_of(autoencoder: AudioAutoencoder, device: str) -> AudioMaker:
    """A maker of the latents of an autoencoder, which is on ``device``."""
    stream = StreamInfo(
        "latents",
        kind="latents",
        source="audio",
        rate=float(autoencoder.rate),
        shape=autoencoder.latent_shape,
        maker=autoencoder.name,
        fingerprint=autoencoder.fingerprint,
    )
    features_of = partial(encode_in_pieces, autoencoder.encode, device=device)
    return AudioMaker(stream, autoencoder.sample_rate, features_of)


def beats_maker(device: str, *, weights: str) -> AudioMaker:
    """What ``vab extract --add beats --maker.weights FILE`` uses (MaskVAT section 3.2); the file is the authors'."""
    encoder = load_beats(Path(weights).expanduser(), device=device)
    stream = StreamInfo(
        "beats",
        kind="vectors",
        source="audio",
        rate=encoder.rate,
        shape=(encoder.feature_dim,),
        maker=encoder.name,
        fingerprint=encoder.fingerprint,
    )

    def features_of(batch: Float[Tensor, "B 1 L"]) -> Tensor:
        return torch.cat([encoder.encode(waveform).cpu() for waveform in batch.split(1)])

    return AudioMaker(stream, encoder.sample_rate, features_of)


def layout_maker(device: str, **resolution: float) -> AudioMaker:
    """What ``vab extract --add layout`` uses (TiVA section 3.1); ``resolution`` are numbers of ``LayoutResolution``."""
    size = from_dict(LayoutResolution, resolution, source="--maker")
    return _rows_maker("layout", partial(layout_of, resolution=size), size, dataclasses.asdict(size))


def onset_curve_maker(device: str) -> AudioMaker:
    """What ``vab extract --add onset-curve`` uses (TiVA section 4.3)."""
    return _onsets_maker("onset-curve", onset_curve_of)


def onsets_maker(device: str) -> AudioMaker:
    """What ``vab extract --add onsets`` uses (TiVA section 4.3)."""
    return _onsets_maker("onsets", onsets_of)


def _onsets_maker(name: str, of: Callable[..., Float[Tensor, "M 1"]]) -> AudioMaker:
    size = LayoutResolution(num_bands=1)
    return _rows_maker(name, partial(of, rate=size.rate), size, {"of": of.__name__, "rate": size.rate})


def _rows_maker(
    name: str,
    of: Callable[[Float[Tensor, "1 L"]], Float[Tensor, "M C"]],
    size: LayoutResolution,
    settings: dict[str, Any],
) -> AudioMaker:
    """Of the rows of a waveform; ``settings`` tell them from others of the same shape."""
    stream = StreamInfo(
        name,
        kind="vectors",
        source="audio",
        rate=float(size.rate),
        shape=(size.num_bands,),
        maker=name,
        fingerprint=checkpoint.fingerprint(settings, []),
    )
    return AudioMaker(stream, SAMPLE_RATE, lambda batch: torch.stack([of(waveform) for waveform in batch]))
