"""Codec, visual encoder and model as one object: load, generate, encode, embed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from vab import __version__, media
from vab.checkpoint import fingerprint
from vab.codecs import Codec
from vab.components import Components, frames_maker, load_refiner
from vab.config import to_dict, with_changes
from vab.device import choose_device, on_device
from vab.errors import ConfigError, MediaError, WeightsError
from vab.features.grid import TimeGrid, as_fraction
from vab.features.makers import FramesInput, StreamMaker
from vab.features.manifest import Clip
from vab.features.read import start_in_file
from vab.generation import Generation, clip_of
from vab.models import find_model
from vab.models.base import CodeRefiner, ConditionPredictor, SoundGenerator
from vab.models.files import REFINER, ModelCard, load_model
from vab.models.refined import RefinedGenerator
from vab.seeds import clip_seed
from vab.selection import Selector
from vab.shapes import Float, Int, Tensor
from vab.timing import num_frames
from vab.visual import VisualEncoder, text_encoder
from vab.weights import limits, resolve, sha256_of
from vab.windows import Windows

FRAMES_PER_BATCH = 64
"""Frames decoded and encoded at a time: what bounds memory on long videos."""

PART_TOLERANCE = 0.1
"""Seconds by which a clip may be shorter than its video and still be all of it."""

CLIPS_PER_BATCH = 32
"""Windows embedded at a time."""


class Pipeline:
    """A model with the codec and the encoder it was trained with, on one device."""

    def __init__(
        self,
        model: Any,
        card: ModelCard,
        components: Mapping[str, Any],
        *,
        refiner: CodeRefiner | None = None,
        provenance: dict[str, Any],
        device: torch.device | str = "cpu",
    ) -> None:
        """Put the parts together; ``load`` is the usual way.

        Args:
            model: the network, on the device.
            card: what its weights file says of it.
            components: what made its streams: a codec under "codes", visual encoders and makers under other names.
            refiner: completes the model's codes; None = nothing does.
            provenance: what every result says of the weights.
            device: where model and components are.
        """
        self.model = model
        self.card = card
        self.components = components
        self.provenance = provenance
        self.device = torch.device(device)
        folder = find_model(card.type)
        self._refiner = folder.refiner(model, card) if folder.refiner else refiner
        self._generator = folder.generator(model, card, self.components) if folder.generator else None
        if self._generator is not None and self._refiner is not None:
            self._generator = RefinedGenerator(self._generator, self._refiner, self.codec)

    @property
    def codec(self) -> Codec:
        """The codec it was trained with; a WeightsError where it was trained without one."""
        return self._component("codes")

    @property
    def encoder(self) -> VisualEncoder:
        """The visual encoder of the stream "clip" that it was trained with; a WeightsError where there is none."""
        return self._component("clip")

    def _component(self, name: str) -> Any:
        if name not in self.components:
            raise WeightsError(f"a {self.card.type!r} was trained without the stream {name!r}")
        return self.components[name]

    @property
    def condition_rates(self) -> Mapping[str, float]:
        """Streams of frames that the model takes, and at how many steps a second."""
        maker = self._generator or self._refiner
        if maker:
            return maker.condition_rates
        config = self.model.config
        if hasattr(config, "conditions"):
            return {name: size.rate for name, size in config.conditions.items()}
        return {"clip": config.visual_fps}

    @property
    def visual_fps(self) -> float:
        """Steps of the stream "clip" a second."""
        return self.condition_rates["clip"]

    @property
    def generator(self) -> SoundGenerator:
        """What makes the sound; a WeightsError of an encoder or a refiner, which make none."""
        if self._generator is None:
            raise WeightsError(
                f"{self.name}: a {self.card.type!r} makes no audio from "
                "frames; give the weights of a whole model, such as 'demo'"
            )
        return self._generator

    @property
    def refiner(self) -> CodeRefiner:
        """What completes coarse codes, the model itself or what goes with it; a WeightsError where nothing does."""
        if self._refiner is None:
            raise WeightsError(
                f"{self.name}: a {self.card.type!r} without a refiner; "
                "give the weights of a coarse-to-fine stage, or of a model that was trained with --refiner"
            )
        return self._refiner

    def __repr__(self) -> str:
        names = " and ".join(component.name for component in self.card.components.values())
        return f"Pipeline({self.name!r}, {self.card.type} with {names}, on {self.device})"

    @property
    def name(self) -> str:
        """What it was loaded as."""
        return str(self.provenance.get("weights", "these weights"))

    @property
    def limits(self) -> str | None:
        """What bundled weights know, in a line; None for others."""
        return limits(model_path(self.name)) if "weights" in self.provenance else None

    def generate(
        self,
        video: str | Path | Clip,
        *,
        seed: int = 0,
        steps: int | None = None,
        cfg_scale: float | None = None,
        temperature: float | None = None,
        sampling: Mapping[str, Any] | None = None,
        conditions: Mapping[str, Tensor] | None = None,
        duration: float | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> Generation:
        """A soundtrack for a video, of the video's exact length (paper section 3.3).

        Args:
            video: any file FFmpeg reads, or a clip of one.
            seed: with the clip's id, by default the file's name without suffix, it decides the sound.
            steps: decoding steps; what is None is as the weights recommend.
            cfg_scale: guidance, 1 is none.
            temperature: noise on the confidence.
            sampling: further options by name, those of the model's own.
            conditions: given instead of what the frames give, by stream, such as an audio layout that was edited.
            duration: seconds to do, from the start; all by default.
            on_progress: called with the fraction of the clip that is newly done.

        Raises:
            MediaError: the file cannot be read or has no video.
        """
        clip = clip_of(video)
        [generation] = self.generate_many(
            [clip if duration is None else replace(clip, duration=duration)],
            seed=seed,
            steps=steps,
            cfg_scale=cfg_scale,
            temperature=temperature,
            sampling=sampling,
            conditions=conditions,
            on_progress=on_progress,
        )
        return generation

    def generate_many(
        self,
        videos: Iterable[str | Path | Clip],
        *,
        seed: int = 0,
        num_samples: int = 1,
        steps: int | None = None,
        cfg_scale: float | None = None,
        temperature: float | None = None,
        sampling: Mapping[str, Any] | None = None,
        conditions: Mapping[str, Tensor] | None = None,
        select: Selector | None = None,
        batch_size: int = 8,
        on_progress: Callable[[float], None] | None = None,
        on_error: Callable[[Clip, Exception], None] | None = None,
    ) -> Iterator[Generation]:
        """Soundtracks for many videos, ``generate``'s for each, in batches: one after the other, as they are made.

        A clip's sound depends on seed, clip id and number of the sample, not on its batch or its place in the list.

        Args, besides those of ``generate``:
            videos: files or clips of files.
            num_samples: different soundtracks of each clip, in a row.
            conditions: given for every clip, by stream: [steps, ...] at the rates of ``condition_rates`` and
                ``predicted_rates``.
            select: gives one of a clip's soundtracks instead of all.
            batch_size: clips a model pass.
            on_progress: called with the number of clips newly done, fractions of a clip too.
            on_error: called with a clip that cannot be done, and with any error, memory included; None = it is raised.

        Raises:
            MediaError: a file cannot be read or has no video.
            ValueError: an option is out of range.
            ConfigError: the model takes no such condition.
        """
        given = self._given(conditions)
        if batch_size < 1 or num_samples < 1:
            raise ValueError(f"batch_size {batch_size} and num_samples {num_samples} must be at least 1")
        generator = self.generator
        options = self.sampling_options(sampling, steps=steps, cfg_scale=cfg_scale, temperature=temperature)
        clips = [clip_of(video) for video in videos]
        for first in range(0, len(clips), batch_size):
            batch: list[tuple[Clip, bool, dict[str, Tensor]]] = []
            for clip in clips[first : first + batch_size]:
                try:
                    there, is_part = self.locate(clip)
                    encoded = self.encode_conditions(
                        there.path, start=there.start, duration=there.duration, given=given
                    )
                    batch.append((there, is_part, encoded))
                except Exception as error:
                    if on_error is None:
                        raise
                    on_error(clip, error)
                    if on_progress:
                        on_progress(1)
            seconds = [clip.duration or 0.0 for clip, *_ in batch]
            num_windows = num_samples * sum(map(generator.num_windows, seconds))

            def report(count: int, share: float = len(batch) / max(1, num_windows)) -> None:
                if on_progress:
                    on_progress(count * share)

            samples = [(place, sample) for place in range(len(batch)) for sample in range(num_samples)]
            began = time.perf_counter()
            sounds = iter(
                generator.generate(
                    [batch[place][2] for place, _ in samples],
                    [seconds[place] for place, _ in samples],
                    options=options,
                    seeds=[clip_seed(seed, batch[place][0].id, sample) for place, sample in samples],
                    batch_size=batch_size,
                    on_window=report,
                )
            )
            took = round((time.perf_counter() - began) / max(1, len(samples)), 3)
            for clip, is_part, _ in batch:
                settings = self.settings(options, seed=seed, clip=clip, conditions=given)
                candidates = [
                    Generation(
                        next(sounds), clip, settings | {"sample": sample, "generation_seconds": took}, is_part
                    )
                    for sample in range(num_samples)
                ]
                try:
                    yield from [_selected(candidates, select)] if select else candidates
                except MediaError as error:
                    if on_error is None:
                        raise
                    on_error(clip, error)

    def locate(self, clip: Clip) -> tuple[Clip, bool]:
        """A clip with its start and length in its file, and whether it is a part of the file.

        Raises:
            MediaError: the file cannot be read, has no video, or ends before the clip starts.
            ValueError: the clip has no length.
        """
        if clip.duration is not None and clip.duration <= 0:
            raise ValueError(f"{clip.path}: duration {clip.duration:g} s; give more than 0")
        length = media.probe(clip.path).require_video().duration
        start = start_in_file(clip, length)
        if start >= length:
            raise MediaError(f"{clip.path}: ends at {length:.2f} s, before the clip's start at {start:g} s")
        seconds = min(clip.duration or length, length - start)
        there = replace(clip, start=start, duration=seconds, may_be_cut=False)
        return there, start > 0 or seconds < length - PART_TOLERANCE

    def sampling_options(
        self,
        sampling: Mapping[str, Any] | None = None,
        *,
        steps: int | None = None,
        cfg_scale: float | None = None,
        temperature: float | None = None,
    ) -> Any:
        """The options that the weights recommend, with changes; a ConfigError names those that the model has."""
        common = {"num_steps": steps, "cfg_scale": cfg_scale, "temperature": temperature}
        given = {name: value for name, value in common.items() if value is not None}
        return with_changes(self.card.sampling_options(), {**(sampling or {}), **given}, source="sampling")

    def settings(
        self, options: Any, *, seed: int, clip: Clip, conditions: Mapping[str, Tensor] | None = None
    ) -> dict[str, Any]:
        """What must be known to make a clip's sound again; of conditions that were given, their digests."""
        given = [fingerprint({}, [each]) for each in sorted((conditions or {}).items())]
        is_refined = REFINER in self.card.components
        return {
            **self.provenance,
            "seed": seed,
            "clip": clip.id,
            "video": clip.path.name,
            "start": clip.start,
            "seconds": clip.duration,
            "sampling": to_dict(options),
            "condition_rates": dict(self.condition_rates),
            "given_conditions": given or None,
            "sample_rate": self.generator.sample_rate,
            "components": to_dict(self.card)["components"],
            **({"refiner_sampling": to_dict(self.refiner.sampling)} if is_refined else {}),
            "device": str(self.device),
            "vab": __version__,
            "torch": torch.__version__,
        }

    def encode_conditions(
        self,
        video: str | Path,
        *,
        start: float = 0.0,
        duration: float | None = None,
        given: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What the model takes of a video's frames, by stream, but for what is given; see ``encode_video``."""
        wanted = [name for name in self.condition_rates if name not in (given or {})]
        encoded = {
            name: self.encode_video(video, start=start, duration=duration, stream=name) for name in wanted
        }
        return encoded | dict(given or {})

    @property
    def predicted_rates(self) -> Mapping[str, float]:
        """Conditions that the model predicts from the others unless they are given, at so many steps a second."""
        generator = self.generator
        return generator.predicted_rates if isinstance(generator, ConditionPredictor) else {}

    def predict_conditions(self, video: str | Path | Clip) -> dict[str, Tensor]:
        """What the model predicts of a video before it makes the sound, such as TiVA's audio layout, by stream.

        Raises:
            MediaError: the file cannot be read or has no video.
            WeightsError: the model predicts no such thing.
        """
        generator = self.generator
        if not isinstance(generator, ConditionPredictor):
            raise WeightsError(f"{self.name}: a {self.card.type!r} predicts no condition; a 'tiva' does")
        clip, _ = self.locate(clip_of(video))
        encoded = self.encode_conditions(clip.path, start=clip.start, duration=clip.duration)
        [predicted] = generator.predict([encoded], [clip.duration or 0.0], batch_size=1)
        return predicted

    def _given(self, conditions: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Conditions that a user gives; a ConfigError where the model takes none of such a name."""
        if not conditions:
            return {}
        known = [*self.condition_rates, *self.predicted_rates]
        if unknown := [name for name in conditions if name not in known]:
            raise ConfigError(
                f"{self.name}: a {self.card.type!r} takes no condition {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return {name: value.float().cpu() for name, value in conditions.items()}

    def encode_video(
        self, video: str | Path, *, start: float = 0.0, duration: float | None = None, stream: str = "clip"
    ) -> Float[Tensor, "F ..."]:
        """Frame features of a stream at the model's rate, piece by piece: an hour needs no more memory than a minute.

        Of whole chunks and by the extraction's own maker, so they are what a model was trained on.

        Raises:
            MediaError: the file cannot be read or has no video.
            WeightsError: the model was trained without the stream, or what made it makes another number of steps.
        """
        maker, reads = self._maker(stream)
        # An even number of chunks: a rate that halves then rounds in a piece as in the whole.
        size = max(1, FRAMES_PER_BATCH // (2 * reads.frames_per_chunk)) * 2 * reads.frames_per_chunk
        pieces, count = [], 0
        for frames in media.iter_frames(
            Path(video),
            reads.fps,
            start=start,
            duration=duration,
            max_size=reads.image_size,
            batch_size=size,
        ):
            pieces.append(self.encode_frames(frames, stream))
            count += len(frames)
        return torch.cat(pieces)[: maker.describe(stream).num_steps(count / reads.fps)]

    def encode_frames(self, frames: np.ndarray, stream: str = "clip") -> Float[Tensor, "F ..."]:
        """Features of frames uint8 [F, height, width, 3], on the CPU; a last chunk is filled up with its last frame."""
        maker, reads = self._maker(stream)
        [features], _ = maker.encode([maker.prepare(frames)], len(frames) / reads.fps)
        return features.float()

    def _maker(self, stream: str) -> tuple[StreamMaker, FramesInput]:
        rate = self.condition_rates[stream]
        return frames_maker(self._component(stream), stream, rate, str(self.device))

    def encode_audio(
        self,
        audio: str | Path | Float[Tensor, "1 L"],
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Int[Tensor, "K S"]:
        """Codes of a file's sound, or of a waveform at the codec's rate: the K codebooks that the model reads.

        Raises:
            MediaError: the file cannot be read or has no sound.
        """
        if isinstance(audio, Tensor):
            waveform = audio
        else:
            waveform = media.read_audio(Path(audio), self.codec.sample_rate, start=start, duration=duration)
        num_codebooks: int | None = getattr(self.model.config, "num_codebooks", None)
        return self.codec.encode(waveform[None].to(self.device))[0, :num_codebooks].cpu()

    def embed_audio(
        self,
        audio: str | Path | Float[Tensor, "1 L"],
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Float[Tensor, " P"]:
        """Unit-norm embedding of a sound: mean of the first N1 layers' outputs (section 3.4).

        A sound longer than the model's window is embedded in windows and has their mean.
        """
        return _mean(self.audio_windows(audio, start=start, duration=duration))

    def embed_video(
        self, video: str | Path, *, start: float = 0.0, duration: float | None = None
    ) -> Float[Tensor, " P"]:
        """Unit-norm embedding of the frames of a video, in windows as a sound is."""
        return _mean(self.video_windows(video, start=start, duration=duration))

    def audio_windows(
        self,
        audio: str | Path | Float[Tensor, "1 L"],
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Float[Tensor, "W P"]:
        """Unit-norm embeddings of a sound's windows, each as long as what the model was adapted on."""
        codes = self.encode_audio(audio, start=start, duration=duration)
        return self.embed_codes(
            [codes[:, window.steps] for window in self.windows.covering(codes.shape[1], 0)]
        )

    def video_windows(
        self,
        video: str | Path | Float[Tensor, "F E"],
        *,
        start: float = 0.0,
        duration: float | None = None,
    ) -> Float[Tensor, "W P"]:
        """The same of a video's frames, or of what ``encode_video`` gave of them."""
        if not isinstance(video, Tensor):
            video = self.encode_video(video, start=start, duration=duration)
        return self.embed_frames([video[window.frames] for window in self.windows.covering(0, len(video))])

    def agreement(
        self,
        audio: str | Path | Float[Tensor, "1 L"] | Int[Tensor, "K S"],
        visual: Float[Tensor, "F E"],
    ) -> float:
        """Cosine of the embeddings of a sound and of a clip's frame features, mean over windows that begin together.

        The sound is a file, a waveform at the codec's rate, or its codes as ``encode_audio`` gives them.
        """
        codes = (
            audio if isinstance(audio, Tensor) and not audio.is_floating_point() else self.encode_audio(audio)
        )
        windows = [
            window
            for window in self.windows.covering(codes.shape[1], len(visual))
            if window.steps.stop > window.steps.start and window.frames.stop > window.frames.start
        ]
        sound = self.embed_codes([codes[:, window.steps] for window in windows])
        frames = self.embed_frames([visual[window.frames] for window in windows])
        return (sound * frames).sum(dim=1).mean().item()

    def embed_text(self, text: str | Sequence[str]) -> Float[Tensor, "*B P"]:
        """Unit-norm embedding [P] of a text, [B, P] of several.

        That of a video, a window long, that shows the text tower's feature all the time: nothing is trained for text,
        it comes in because the text tower shares the frames' space.
        """
        texts = [text] if isinstance(text, str) else list(text)
        features = text_encoder(self.encoder).encode_text(texts).float().cpu()
        length = num_frames(self.card.window_seconds, self.visual_fps)
        embeddings = self.embed_frames([feature.expand(length, -1) for feature in features])
        return embeddings[0] if isinstance(text, str) else embeddings

    @cached_property
    def windows(self) -> Windows:
        """How clips are cut for embedding."""
        card = self.card
        grid = TimeGrid.of({"codes": self.codec.frame_rate, "clip": self.visual_fps})
        hop = as_fraction(card.window_seconds - card.overlap_seconds) / grid.period
        return Windows(card.window_seconds, max(1, int(hop)), grid)

    @torch.inference_mode()
    def embed_codes(self, codes: Sequence[Int[Tensor, "K _"]]) -> Float[Tensor, "B P"]:
        """Unit-norm embeddings of several sounds' codes, of any lengths, in batches; on the CPU."""
        return torch.cat(
            [
                self.model.embed(codes=padded.transpose(1, 2), is_valid=is_valid).cpu()
                for padded, is_valid in self._padded([each.T for each in codes])
            ]
        )

    @torch.inference_mode()
    def embed_frames(self, visual: Sequence[Float[Tensor, "_ E"]]) -> Float[Tensor, "B P"]:
        """The same of several clips' frame features."""
        return torch.cat(
            [
                self.model.embed(visual=padded, is_valid_visual=is_valid).cpu()
                for padded, is_valid in self._padded(visual)
            ]
        )

    def _padded(self, clips: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of clips [length, numbers] to embed, padded to the longest, and which steps are real."""
        if not hasattr(self.model, "embed"):
            raise WeightsError(
                f"{self.name}: a {self.card.type!r} embeds nothing; "
                "give the weights of a VAB or of its encoder"
            )
        for first in range(0, len(clips), CLIPS_PER_BATCH):
            batch = list(clips[first : first + CLIPS_PER_BATCH])
            padded = pad_sequence(batch, batch_first=True).to(self.device)
            lengths = torch.tensor([len(clip) for clip in batch])[:, None]
            yield padded, (torch.arange(padded.shape[1]) < lengths).to(self.device)


def load(name: str | Path = "demo", *, device: str = "auto", dtype: str = "auto") -> Pipeline:
    """Everything needed to use a model: its weights, its codec, its visual encoder.

    Args:
        name: ``demo``, another known name (``vab info`` lists them), or a path to a model's safetensors.
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        dtype: of the arithmetic: ``auto`` (bfloat16 on a GPU, float32 on a CPU), ``float32``, ``bfloat16`` or ``int8``
            (8-bit matrix products, on a CPU).

    Raises:
        ConfigError: ``dtype`` is none of these, or ``int8`` where it cannot be.
        WeightsError: weights are absent or damaged, or a codec or encoder is not the one of the training.
    """
    path = model_path(name)
    model, card = load_model(path)
    device = choose_device(device)
    components = Components(card, path, device)
    has_refiner = REFINER in card.components and find_model(card.type).generator is not None
    pipeline = Pipeline(
        on_device(model, device, dtype),
        card,
        components,
        refiner=load_refiner(card, path, device, dtype) if has_refiner else None,
        provenance={"weights": str(name), "weights_sha256": sha256_of(path)},
        device=device,
    )
    for needed in {"codes", *pipeline.condition_rates} & components.keys():
        components[needed]  # what is absent or another's is refused here
    return pipeline


def model_path(name: str | Path = "demo") -> Path:
    """The file of a model's weights, whose bundled one is simply called ``demo``; a WeightsError where it is absent."""
    return resolve("demo-vab" if str(name) == "demo" else name, kind="model")


def _selected(candidates: Sequence[Generation], selector: Selector) -> Generation:
    """The selector's choice, which says how it was selected."""
    choice = selector.choose(candidates)
    kept = candidates[choice.index]
    selection = {
        "by": selector.name,
        "num_samples": len(candidates),
        **choice.numbers,
        **selector.provenance,
    }
    return replace(kept, settings=kept.settings | {"selection": selection})


def _mean(embeddings: Float[Tensor, "B P"]) -> Float[Tensor, " P"]:
    """Of unit norm again."""
    return F.normalize(embeddings.mean(dim=0), dim=0)
