"""``vab evaluate codec``: what codecs keep of pitch and spectrum, beside Opus at its lowest bit rate."""

from __future__ import annotations

import math
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from tasks.console import console, numbers_table, say, track
from tasks.evaluation.options import CodecOptions
from tasks.options import command_line
from tasks.record import conditions, write_record
from vab import media
from vab.codecs import Codec, load_codec
from vab.device import choose_device
from vab.errors import ConfigError
from vab.files import write_atomically
from vab.metrics.spectra import log_mel_distance
from vab.metrics.tones import glide, steady_tones, tone_score
from vab.pictures import draw_spectrogram, new_figure, png
from vab.shapes import Tensor

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".mkv", ".webm", ".mov"}
TIMED_SECONDS = 10.0
"""Audio that the real-time factor is measured on."""


@dataclass(frozen=True)
class System:
    """One row: waveform [1, L] to what comes back, of the same length, and the bits a second that it took."""

    name: str
    sample_rate: int
    process: Callable[[Tensor], tuple[Tensor, float]]
    real_time_factors: Mapping[str, float]


def run(options: CodecOptions) -> int:
    """Measure, print a table, write ``codec.json`` and ``glide.png``."""
    device = choose_device(options.device)
    codecs = [load_codec(name, device=device) for name in options.codecs]
    systems = [system for codec in codecs for system in _systems(codec, options.num_codebooks)]
    rate = codecs[0].sample_rate
    systems.append(System("opus", rate, lambda waveform: media.through_opus(waveform, rate), {}))
    files = {str(folder): _choose(folder, options) for folder in options.audio}
    tracked = track(systems, "coding and decoding", unit="systems")
    rows = [_measure(system, files, options) for system in tracked]
    options.output.mkdir(parents=True, exist_ok=True)
    num_files = sum(map(len, files.values()))
    measured = conditions(
        clips=", ".join(Path(folder).name for folder in files) or "test tones",
        num_clips=num_files,
        clip_seconds=options.seconds,
        seed=options.seed,
        device=str(device),
        command=command_line("evaluate codec", options),
        num_tones=options.num_tones,
        threads=torch.get_num_threads(),
    )
    write_record(options.output / "codec.json", "codec", {"systems": rows}, measured)
    _draw_glides(options.output / "glide.png", systems)
    console.print(_table(rows, list(files)))
    say(f"{options.output / 'codec.json'}, {options.output / 'glide.png'}")
    return 0


def _systems(codec: Codec, num_codebooks: Sequence[int]) -> list[System]:
    """The codec with all its codebooks, and with the first few."""
    counts = sorted(
        {codec.num_codebooks, *(n for n in num_codebooks if n < codec.num_codebooks)}, reverse=True
    )
    bits = codec.frame_rate * math.log2(codec.codebook_size)

    def through(count: int, waveform: Tensor) -> tuple[Tensor, float]:
        codes = codec.encode(waveform[None])[:, :count]
        return codec.decode(codes)[0, :, : waveform.shape[1]].cpu(), bits * count

    factors = _real_time_factors(codec)
    return [
        System(f"{codec.name}, {count} codebooks", codec.sample_rate, partial(through, count), factors)
        for count in counts
    ]


def _real_time_factors(codec: Codec) -> dict[str, float]:
    """Seconds of computation a second of audio, the better of two runs."""
    waveform = torch.randn(1, 1, round(TIMED_SECONDS * codec.sample_rate)) * 0.1
    codes = codec.encode(waveform)

    work = {"encode": lambda: codec.encode(waveform), "decode": lambda: codec.decode(codes).cpu()}
    return {name: min(timeit.repeat(each, number=1, repeat=2)) / TIMED_SECONDS for name, each in work.items()}


def _choose(folder: Path, options: CodecOptions) -> list[Path]:
    """Evenly spread over the sorted files of a folder, or the file itself.

    Raises:
        ConfigError: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if folder.is_file():
        found = [folder]
    if not found:
        raise ConfigError(f"{folder}: no audio in it")
    number = min(len(found), options.clips)
    return [found[place * len(found) // number] for place in range(number)]


def _measure(system: System, files: Mapping[str, Sequence[Path]], options: CodecOptions) -> dict[str, Any]:
    rate = system.sample_rate
    tones = steady_tones(options.num_tones, rate, seed=options.seed)
    scores = [tone_score(tone, system.process(tone.waveform)[0], rate) for tone in tones]
    distances: dict[str, float] = {}
    bits: list[float] = []
    for folder, paths in files.items():
        found = []
        for path in paths:
            waveform = media.read_audio(path, rate, duration=options.seconds)
            decoded, bits_per_second = system.process(waveform)
            found.append(log_mel_distance(decoded, waveform, rate))
            bits.append(bits_per_second)
        distances[folder] = float(np.mean(found))
    return {
        "system": system.name,
        "sample_rate": rate,
        "bits_per_second": float(np.mean(bits)) if bits else None,
        "tone_share": float(np.mean([score.share for score in scores])),
        "pitch_error_cents": float(np.median([score.cents for score in scores])),
        "log_mel_distance": distances,
        "real_time_factors": dict(system.real_time_factors),
    }


def _draw_glides(path: Path, systems: Sequence[System]) -> None:
    """A tone that rises by three octaves and comes back, as each system keeps it."""
    figure, axes = new_figure(len(systems) + 1)
    rate = systems[0].sample_rate
    draw_spectrogram(axes[0], glide(rate), rate, title="true")
    for place, system in zip(axes[1:], systems, strict=True):
        sound = system.process(glide(system.sample_rate))[0]
        draw_spectrogram(place, sound, system.sample_rate, title=system.name)
    write_atomically(path, png(figure, dpi=100))


def _table(rows: Sequence[Mapping[str, Any]], folders: Sequence[str]) -> Table:
    distances = (f"{Path(each).name}, dB" for each in folders)
    head = ("system", "bits/s", "tone share", "cents", *distances, "encode", "decode")
    table = numbers_table("codecs: test tones and recordings", *head)
    table.columns[0].no_wrap = True
    for row in rows:
        factors = row["real_time_factors"]
        table.add_row(
            row["system"],
            "" if row["bits_per_second"] is None else f"{row['bits_per_second']:.0f}",
            f"{row['tone_share']:.3f}",
            f"{row['pitch_error_cents']:.0f}",
            *(f"{row['log_mel_distance'][each]:.2f}" for each in folders),
            *(f"{factors[way]:.3f}" if factors else "" for way in ("encode", "decode")),
        )
    return table
