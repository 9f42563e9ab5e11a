"""Scorers on published networks that have one space for audio and for frames or text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch.nn import functional as F

from vab import media
from vab.errors import MediaError, WeightsError
from vab.metrics.frechet import ClipFrechetDistance
from vab.metrics.pairing import PairedSound
from vab.metrics.scorer import Column, Scorer, beside_truth, both_sounds
from vab.metrics.wav2clip import WIDTH
from vab.shapes import Float, Tensor
from vab.visual.base import VisualEncoder

_CC_FPS = 5.0
_CC_FRAMES_AT_ONCE = 16


@runtime_checkable
class SoundEmbedder(Protocol):
    """A network with its weights that has a place for every sound."""

    sample_rate: int
    """Of the sound it takes."""

    def embed_audio(self, audio: Float[Tensor, "1 L"]) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound at ``sample_rate``."""
        ...


@runtime_checkable
class WordEmbedder(SoundEmbedder, Protocol):
    """One that has places for text too, such as ``Clap``."""

    def embed_text(self, text: str) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a text."""
        ...


@runtime_checkable
class PictureEmbedder(SoundEmbedder, Protocol):
    """One that has places for frames too, such as ``ImageBind``."""

    def embed_video(self, video: str | Path, *, start: float, duration: float) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a stretch of frames."""
        ...


class ClapScorer(Scorer):
    """Sound against the clip's text and against its true sound by CLAP, and Frechet distance on its embeddings.

    Words are the clip's caption or else its labels, from the list; clips with neither have no ``clap_text``.
    """

    columns: Mapping[str, Column] = {
        "clap_text": Column("", True),
        "clap_text_of_truth": Column("", True),
        "clap_audio": Column("", True),
        "fd_clap": Column("", False),
    }

    def __init__(self, clap: WordEmbedder) -> None:
        self._clap = clap
        self._frechet = ClipFrechetDistance()
        self._num_worded = 0

    def add(self, sound: PairedSound) -> dict[str, float]:
        ours, theirs = (self._clap.embed_audio(each) for each in both_sounds(sound, self._clap.sample_rate))
        self._frechet.update(ours, theirs)
        numbers = {"clap_audio": (ours @ theirs).item()}
        clip = sound.pair.reference
        words = clip.caption or ", ".join(clip.labels)
        if words:
            self._num_worded += 1
            meaning = self._clap.embed_text(words)
            numbers |= beside_truth("clap_text", (ours @ meaning).item(), (theirs @ meaning).item())
        return numbers

    def of_set(self) -> dict[str, float]:
        return {"fd_clap": self._frechet.compute()}

    def warnings(self) -> list[str]:
        few = self._frechet.few("fd_clap")
        if self._num_worded:
            return few
        return [*few, "clap_text: not measured, since no clip has a caption or a label; a --list brings them"]


class ImageBindScorer(Scorer):
    """Cosine of ImageBind's embeddings of generated sound and of the true frames; clips without are left out."""

    columns: Mapping[str, Column] = {"imagebind": Column("", True), "imagebind_of_truth": Column("", True)}

    def __init__(self, model: PictureEmbedder) -> None:
        self._model = model

    def add(self, sound: PairedSound) -> dict[str, float]:
        clip = sound.pair.reference
        try:
            frames = self._model.embed_video(clip.path, start=clip.start, duration=sound.seconds)
        except MediaError:
            return {}
        ours, theirs = (
            (self._model.embed_audio(each) @ frames).item()
            for each in both_sounds(sound, self._model.sample_rate)
        )
        return beside_truth("imagebind", ours, theirs)


class Wav2ClipScorer(Scorer):
    """MaskVAT's two cosines in CLIP's space: with the true sound (``wc``), and with the true frames (``cc``)."""

    columns: Mapping[str, Column] = {
        "wc": Column("", True),
        "cc": Column("", True),
        "cc_of_truth": Column("", True),
    }

    def __init__(self, model: SoundEmbedder, encoder: VisualEncoder | None) -> None:
        """Nothing is kept between clips.

        Args:
            model: the network with its weights.
            encoder: the frames' half of the same space, OpenAI's CLIP ViT-B/32; None: ``wc`` alone.

        Raises:
            WeightsError: the encoder is not of the width of that space.
        """
        if encoder is not None and encoder.feature_shape != (WIDTH,):
            raise WeightsError(
                f"{encoder.name}: its features have the shape {encoder.feature_shape}, those of Wav2CLIP ({WIDTH},); "
                "give OpenAI's CLIP ViT-B/32"
            )
        self._model, self._encoder = model, encoder

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Of one clip; ``cc`` only where it has frames."""
        ours, theirs = (self._model.embed_audio(each) for each in both_sounds(sound, self._model.sample_rate))
        numbers = {"wc": (ours @ theirs).item()}
        if self._encoder is None:
            return numbers
        try:
            frames = self._pictures(self._encoder, sound)
        except MediaError:
            return numbers
        return numbers | beside_truth("cc", (ours @ frames).item(), (theirs @ frames).item())

    @staticmethod
    @torch.inference_mode()
    def _pictures(encoder: VisualEncoder, sound: PairedSound) -> Float[Tensor, " P"]:
        """Mean of the frames' features as they are, as Wav2CLIP was trained to meet it."""
        clip = sound.pair.reference
        frames = media.iter_frames(
            clip.path,
            _CC_FPS,
            start=clip.start,
            duration=sound.seconds,
            max_size=encoder.image_size,
            batch_size=_CC_FRAMES_AT_ONCE,
        )
        features = [encoder.encode_frames(encoder.preprocess(each)).float().cpu() for each in frames]
        return F.normalize(torch.cat(features).mean(dim=0), dim=0)

    def settings(self) -> dict[str, Any]:
        return {} if self._encoder is None else {"cc_encoder": self._encoder.name, "cc_fps": _CC_FPS}
