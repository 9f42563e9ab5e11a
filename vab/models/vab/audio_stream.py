"""The audio features of a VAB's encoder as a stream: what stands in for BEATs where its weights cannot be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from typing_extensions import override

from vab import checkpoint
from vab.codecs import load_codec
from vab.codecs.base import Codec
from vab.components import component_source
from vab.features.info import StreamInfo
from vab.features.makers import AudioInput, CodecMaker, StreamMaker
from vab.models.vab.encoder import VABEncoder, load_encoder_of
from vab.shapes import Int, Tensor
from vab.weights import resolve


@dataclass(frozen=True)
class EncodedAudioMaker(StreamMaker):
    """Features of a clip's codes from the first N1 layers (section 3.4), means of some codec steps each."""

    model: VABEncoder
    codec: Codec
    name: str
    """Of the weights."""
    every: int = 5
    """Codec steps a feature."""
    device: str = "cpu"
    """Where both are."""

    @property
    @override
    def reads(self) -> AudioInput:
        return AudioInput(int(self.codec.sample_rate))

    @override
    def describe(self, name: str) -> StreamInfo:
        facts = {"codec": self.codec.fingerprint, "every": self.every}
        return StreamInfo(
            name,
            kind="vectors",
            source="audio",
            rate=float(self.codec.frame_rate) / self.every,
            shape=(self.model.config.width,),
            maker=self.name,
            fingerprint=checkpoint.fingerprint(facts, self.model.state_dict().items()),
        )

    @override
    def encode(self, clips: Sequence[Tensor], clip_seconds: float) -> tuple[Tensor, Int[Tensor, " B"]]:
        codes, lengths = CodecMaker(self.codec, self.device).encode(clips, clip_seconds)
        codes = codes[:, : self.model.config.num_codebooks].to(self.device)
        with torch.inference_mode():
            features = self.model.encode(codes=codes).float().cpu()
        groups = features.split(self.every, dim=1)  # the last one may be shorter
        means = torch.stack([group.mean(1) for group in groups], dim=1)
        return means, (lengths + self.every - 1) // self.every


def demo_audio_maker(device: str, *, weights: str = "demo-search", every: int = 5) -> EncodedAudioMaker:
    """What ``vab extract --add demo-audio`` uses: weights of 'vab adapt', a feature for ``every`` codec steps.

    Raises:
        WeightsError: they, or their codec's, are absent or damaged.
    """
    path = resolve(weights)
    model, card = load_encoder_of(path)
    codec = load_codec(component_source(card.components["codes"], path), device=device)
    return EncodedAudioMaker(
        model.eval().requires_grad_(False).to(device), codec, path.stem, int(every), device
    )
