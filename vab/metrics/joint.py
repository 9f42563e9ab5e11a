"""Scorers on published networks that compare sound with frames or text: by one space for both, or in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from vab import media
from vab.errors import WeightsError
from vab.metrics.clap import Clap
from vab.metrics.frechet import ClipFrechetDistance
from vab.metrics.imagebind import ImageBind
from vab.metrics.pairing import PairedSound
from vab.metrics.scorer import Column, Scorer, beside_truth
from vab.metrics.synchformer import Synchformer, mean_offset
from vab.metrics.synchformer_inputs import AV_BENCHMARK, SAMPLE_RATE, SHORTEST_SECONDS, V_AURA
from vab.metrics.wav2clip import WIDTH, Wav2Clip
from vab.shapes import Float, Tensor
from vab.visual.base import VisualEncoder

_CC_FPS = 5.0
_CC_FRAMES_AT_ONCE = 16
_MILLISECONDS = 1000
_NAMED_CLIPS = 10


class ClapScorer(Scorer):
    """Sound against the clip's text and against its true sound by CLAP, and Frechet distance on its embeddings.

    Words are the clip's caption or else its labels, from the list; clips with neither have no ``clap_text``.
    """

    columns: Mapping[str, Column] = {
        **dict.fromkeys(("clap_text", "clap_text_of_truth", "clap_audio"), Column("", True)),
        "fd_clap": Column("", False),
    }

    def __init__(self, clap: Clap) -> None:
        self._clap = clap
        self._frechet = ClipFrechetDistance()
        self._num_worded = 0

    def add(self, sound: PairedSound) -> dict[str, float]:
        ours, theirs = (self._clap.embed_audio(each) for each in sound.both(self._clap.sample_rate))
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

    def __init__(self, model: ImageBind) -> None:
        self._model = model

    def add(self, sound: PairedSound) -> dict[str, float]:
        frames = sound.of_frames(self._model.embed_video)
        if frames is None:
            return {}
        ours, theirs = (
            (self._model.embed_audio(each) @ frames).item() for each in sound.both(self._model.sample_rate)
        )
        return beside_truth("imagebind", ours, theirs)


class Wav2ClipScorer(Scorer):
    """MaskVAT's two cosines in CLIP's space: with the true sound (``wc``), and with the true frames (``cc``)."""

    columns: Mapping[str, Column] = dict.fromkeys(("wc", "cc", "cc_of_truth"), Column("", True))

    def __init__(self, model: Wav2Clip, encoder: VisualEncoder | None) -> None:
        """``encoder``: the frames' half of the same space, OpenAI's CLIP ViT-B/32; None: ``wc`` alone.

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
        ours, theirs = (self._model.embed_audio(each) for each in sound.both(self._model.sample_rate))
        numbers = {"wc": (ours @ theirs).item()}
        frames = sound.of_frames(partial(_mean_feature, self._encoder)) if self._encoder else None
        if frames is None:
            return numbers
        return numbers | beside_truth("cc", (ours @ frames).item(), (theirs @ frames).item())

    def settings(self) -> dict[str, Any]:
        return {} if self._encoder is None else {"cc_encoder": self._encoder.name, "cc_fps": _CC_FPS}


@torch.inference_mode()
def _mean_feature(
    encoder: VisualEncoder, path: Path, *, start: float, duration: float
) -> Float[Tensor, " P"]:
    """Mean of the frames' features as they are, as Wav2CLIP was trained to meet it, at unit norm."""
    how = {"max_size": encoder.image_size, "batch_size": _CC_FRAMES_AT_ONCE}
    frames = media.iter_frames(path, _CC_FPS, start=start, duration=duration, **how)
    features = [encoder.encode_frames(encoder.preprocess(each)).float().cpu() for each in frames]
    return F.normalize(torch.cat(features).mean(dim=0), dim=0)


class SynchronyScorer(Scorer):
    """MMAudio's DeSync and V-AURA's Sync of generated sound and true frames; clips without frames have neither."""

    columns: Mapping[str, Column] = {
        **dict.fromkeys(("desync", "desync_of_truth"), Column("s", False)),
        **dict.fromkeys(("sync", "sync_of_truth"), Column("ms", False)),
    }

    def __init__(self, network: Synchformer) -> None:
        self._network = network
        self._too_short: list[str] = []

    def add(self, sound: PairedSound) -> dict[str, float]:
        """Both of one clip, and of its true sound; ``desync`` only where the clip is long enough."""
        numbers: dict[str, float] = {}
        for name, view, scale in (("sync", V_AURA, _MILLISECONDS), ("desync", AV_BENCHMARK, 1)):
            if not view.fits(sound.seconds):
                self._too_short.append(sound.pair.id)
                continue
            seen = sound.of_frames(partial(self._network.see, view=view))
            if seen is None:
                return {}
            ours, theirs = (
                scale * mean_offset(self._network.answers(seen, each, view))
                for each in sound.both(SAMPLE_RATE)
            )
            numbers |= beside_truth(name, ours, theirs)
        return numbers

    def settings(self) -> dict[str, Any]:
        return {"desync_view": asdict(AV_BENCHMARK), "sync_view": asdict(V_AURA)}

    def warnings(self) -> list[str]:
        count = len(self._too_short)
        some = ", ".join(self._too_short[:_NAMED_CLIPS]) + (", and more" if count > _NAMED_CLIPS else "")
        text = f"desync: not measured on {count} clips of less than {SHORTEST_SECONDS} s: {some}"
        return [text] if count else []
