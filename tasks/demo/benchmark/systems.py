"""The systems that are compared: a model, and the reconstructions and baselines that bound it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tasks.console import progress_bar, track
from tasks.demo.benchmark.material import BenchmarkClip
from tasks.record import audio_coder
from vab import media
from vab.audio.base import LatentSound
from vab.config import to_dict
from vab.models.refined import RefinedGenerator
from vab.pipeline import Pipeline
from vab.seeds import clip_seed
from vab.shapes import Float, Int, Tensor

BATCH = 4


def reconstruct(waveforms: Sequence[Float[Tensor, "1 L"]], pipeline: Pipeline) -> list[Float[Tensor, "1 L"]]:
    """Each sound through the codec or the autoencoder: the best that any codes or latents could give."""
    return [reconstruct_one(waveform, pipeline) for waveform in track(waveforms, "reconstructing")]


def reconstruct_one(waveform: Float[Tensor, "1 L"], pipeline: Pipeline) -> Float[Tensor, "1 L"]:
    """One sound through the codec, in as many codebooks as generated sound has, or through the autoencoder."""
    if has_codes(pipeline):
        return decode_one(encode_one(waveform, pipeline), waveform.shape[1], pipeline)
    autoencoder = audio_coder(pipeline)
    latents = autoencoder.encode(waveform[None].to(pipeline.device))[0]
    sound = LatentSound(latents, autoencoder, waveform.shape[1])
    return torch.cat(list(sound.pieces()), dim=1)


def has_codes(pipeline: Pipeline) -> bool:
    """Whether a model makes codes, not latents."""
    return "codes" in pipeline.components


def num_codebooks(pipeline: Pipeline) -> int:
    """Codebooks of the sound that a model makes: its own, or its refiner's."""
    generator = pipeline.generator
    if isinstance(generator, RefinedGenerator):
        return generator.refiner.num_codebooks
    return int(pipeline.model.config.num_codebooks)


def encode_one(waveform: Float[Tensor, "1 L"], pipeline: Pipeline) -> Int[Tensor, "K S"]:
    """Codes of one clip's sound, in as many codebooks as generated sound has."""
    return pipeline.codec.encode(waveform[None].to(pipeline.device))[0, : num_codebooks(pipeline)].cpu()


def decode_one(codes: Int[Tensor, "K S"], num_samples: int, pipeline: Pipeline) -> Float[Tensor, "1 L"]:
    """The sound of one clip's codes, at the length of the sound that they are of."""
    return pipeline.codec.decode(codes[None].to(pipeline.device))[0, :, :num_samples].cpu()


def generate(
    name: str,
    clips: Sequence[BenchmarkClip],
    pipeline: Pipeline,
    options: Any,
    *,
    seed: int,
    folder: Path | None = None,
) -> list[Float[Tensor, "1 L"]]:
    """A sound for each clip's frames.

    Args:
        name: for the progress bar.
        clips: what to do.
        pipeline: the model.
        options: of the sampling.
        seed: with a clip's name, all that its noise depends on.
        folder: keeps the sounds as FLAC; those that are there are read, so that a long run resumes.
    """
    sounds: dict[int, Tensor] = {}
    rate = pipeline.generator.sample_rate
    files = [folder / f"{clip.id}.flac" if folder else None for clip in clips]
    for index, file in enumerate(files):
        if file and file.exists():
            sounds[index] = media.read_audio(file, rate)
    missing = [index for index in range(len(clips)) if index not in sounds]
    with progress_bar("clips") as progress:
        task = progress.add_task(name, total=len(clips), completed=len(sounds))
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            made = pipeline.generator.generate(
                [clips[index].conditions for index in batch],
                [clips[index].waveform.shape[1] / rate for index in batch],
                options=options,
                seeds=[clip_seed(seed, clips[index].id) for index in batch],
                batch_size=BATCH,
            )
            for index, sound in zip(batch, made, strict=True):
                sounds[index] = torch.cat(list(sound.pieces()), dim=1)
                if file := files[index]:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    media.write_audio(file, [sounds[index]], rate)
            progress.advance(task, len(batch))
    return [sounds[index] for index in range(len(clips))]


def seconds_a_clip(clip: BenchmarkClip, pipeline: Pipeline, options: Any) -> float:
    """How long one clip's sound takes, alone in its batch: the median of three."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        generate("timing", [clip], pipeline, options, seed=0)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def sounds_folder(out: Path, pipeline: Pipeline, options: Any) -> Path:
    """Where the sounds of one model and one way of sampling are kept."""
    weights = pipeline.provenance["weights_sha256"][:8]
    given = (f"{name}-{value}" for name, value in to_dict(options).items() if value is not None)
    return out / "sounds" / "-".join([weights, *given])


def unconditional(options: Any) -> Any:
    """The same sampling without the frames."""
    return replace(options, cfg_scale=0.0)
