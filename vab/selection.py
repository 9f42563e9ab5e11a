"""Best of several soundtracks: by SCAV, as MaskVAT's beam selection (ECCV 2024), agreement, synchrony or consensus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
import torchaudio

from vab.device import choose_device
from vab.errors import WeightsError
from vab.features.makers import AudioInput, StreamMaker
from vab.generation import Generation
from vab.metrics.spectra import log_mel
from vab.metrics.synchformer import OFFSETS, Synchformer, mean_offset
from vab.metrics.synchformer_inputs import AV_BENCHMARK, V_AURA
from vab.shapes import Float, Tensor
from vab.weights import find, resolve, sha256_of

if TYPE_CHECKING:
    from vab.pipeline import Pipeline


@dataclass(frozen=True)
class Choice:
    """Which of several soundtracks of one video was kept, and why."""

    index: int
    numbers: dict[str, list[float]]
    """What they were judged by, of every candidate in the order of their seeds, under its names in the JSON."""


@runtime_checkable
class Selector(Protocol):
    """Chooses one of several soundtracks."""

    name: str
    """What --select calls it."""
    provenance: dict[str, Any]
    """Its weights, for the JSON beside a result: what was chosen by them must not be measured by them; empty: none."""

    def choose(self, candidates: Sequence[Generation]) -> Choice:
        """The best of the candidates for one clip; the first of equals.

        Raises:
            MediaError: the video cannot be read.
        """
        ...


class ConsensusSelector:
    """Chooses the soundtrack that is most like the others: minimum Bayes risk (Kumar and Byrne, NAACL 2004).

    What the frames leave open differs from sample to sample; the middle one errs least on average. Takes no weights.
    """

    name = "consensus"

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = {}

    def choose(self, candidates: Sequence[Generation]) -> Choice:
        """The candidate of the smallest mean ``log_mel_distance`` to the others, ``distances``, dB."""
        bands = torch.stack([log_mel(each.waveform, each.sample_rate).flatten() for each in candidates])
        between = torch.cdist(bands, bands, p=1) / bands.shape[1]
        distances = (between.sum(dim=1) / max(1, len(candidates) - 1)).tolist()
        return Choice(distances.index(min(distances)), {"distances": distances})


class AgreementSelector:
    """Chooses the soundtrack whose embedding is nearest to that of the frames."""

    name = "agreement"

    def __init__(self, embedder: Pipeline) -> None:
        self._embedder = embedder
        self.provenance = embedder.provenance

    def choose(self, candidates: Sequence[Generation]) -> Choice:
        """The candidate that agrees best with its clip's frames, by ``agreements``, cosines."""
        clip, rate = candidates[0].clip, self._embedder.codec.sample_rate
        visual = self._embedder.encode_video(clip.path, start=clip.start, duration=clip.duration)
        agreements = [self._embedder.agreement(_at_rate(each, rate), visual) for each in candidates]
        return Choice(agreements.index(max(agreements)), {"agreements": agreements})


class SCAVSelector:
    """Chooses the soundtrack whose sequence is nearest to that of the frames (MaskVAT section 3.2)."""

    name = "scav"

    def __init__(self, encoder: Pipeline) -> None:
        """Take the weights.

        Args:
            encoder: of a ``scav``.

        Raises:
            WeightsError: of something else, or its stream of audio is made by nothing that is installed.
        """
        if encoder.card.type != "scav":
            raise WeightsError(
                f"{encoder.name}: a {encoder.card.type!r}; --select scav takes --select-weights of a 'scav', "
                "trained with configs/scav"
            )
        self._encoder = encoder
        self.provenance = encoder.provenance
        self._maker: StreamMaker = encoder.components[encoder.model.audio_stream]

    @torch.inference_mode()
    def choose(self, candidates: Sequence[Generation]) -> Choice:
        """The candidate of the smallest mean squared distance to its clip's frames, ``distances``."""
        clip, model, device = candidates[0].clip, self._encoder.model, self._encoder.device
        frames = self._encoder.encode_video(
            clip.path, start=clip.start, duration=clip.duration, stream=model.visual_stream
        )
        seen = model.embed_visual(frames[None].to(device))
        distances = []
        for candidate in candidates:
            heard = model.embed_audio(self._features(candidate).to(device), seen.shape[1])
            distances.append((seen - heard).square().sum(2).mean().item())
        return Choice(distances.index(min(distances)), {"distances": distances})

    def _features(self, candidate: Generation) -> Float[Tensor, "1 A E"]:
        reads = self._maker.reads
        assert isinstance(reads, AudioInput), "it is trained on a stream of audio"
        waveform = _at_rate(candidate, reads.sample_rate)
        prepared = self._maker.prepare(waveform.numpy())
        features, _ = self._maker.encode([prepared], waveform.shape[1] / reads.sample_rate)
        return features.float()


class SynchronySelector:
    """Chooses the soundtrack that Synchformer finds least early or late."""

    name = "synchrony"

    def __init__(self, weights: str, *, device: str = "auto") -> None:
        """Load the network.

        Args:
            weights: ``synchformer``, downloaded once, or a path of its file.
            device: auto, cpu or cuda.

        Raises:
            WeightsError: absent, damaged or other weights.
        """
        path = resolve(weights)
        self._network = Synchformer(path, device=choose_device(device))
        entry = find("synchformer")
        assert entry is not None, "it is registered"
        self.provenance = {
            "weights": path.name,
            "weights_sha256": sha256_of(path),
            "weights_licence": entry.licence,
        }

    def choose(self, candidates: Sequence[Generation]) -> Choice:
        """The candidate of the smallest DeSync, ``offsets``; of those alike, the smallest ``expected_offsets``.

        Offsets are answers a fifth of a second apart, so several are often alike; the mean over the probabilities of
        all answers still tells them apart. Videos under 4.8 s are shown as V-AURA does.
        """
        clip = candidates[0].clip
        assert clip.duration is not None, "known once its sound is made"
        view = AV_BENCHMARK if AV_BENCHMARK.fits(clip.duration) else V_AURA
        seen = self._network.see(clip.path, view, start=clip.start, duration=clip.duration)
        sounds = [_at_rate(candidate, self._network.sample_rate) for candidate in candidates]
        answers = [self._network.answers(seen, sound, view) for sound in sounds]
        offsets = [mean_offset(each) for each in answers]
        expected = [(each @ torch.tensor(OFFSETS).abs()).mean().item() for each in answers]
        index = min(range(len(candidates)), key=lambda place: (offsets[place], expected[place]))
        return Choice(index, {"offsets": offsets, "expected_offsets": expected})


def _at_rate(candidate: Generation, sample_rate: int) -> Float[Tensor, "1 L"]:
    return torchaudio.functional.resample(candidate.waveform, candidate.sample_rate, sample_rate)
