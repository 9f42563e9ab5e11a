"""What the demo's codec learns from: Foley world, recordings and synthetic tones, in random pieces."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from vab import media
from vab.errors import ConfigError
from vab.files import complete_file
from vab.shapes import Float, Tensor

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".m4a"}
GAIN_DB = (-12.0, 2.0)
"""Random gain of a piece."""


class SoundPieces(Dataset[Tensor]):
    """Random pieces of several pools of audio and of synthetic tones; a piece depends on its seed alone."""

    def __init__(
        self, pools: Mapping[str, np.ndarray], shares: Mapping[str, float], num_samples: int, sample_rate: int
    ) -> None:
        """Hold the pools in memory.

        Args:
            pools: int16 samples of each pool, its sounds end to end.
            shares: how often a piece is of a pool, in proportion; ``tones`` are made on the spot.
            num_samples: length of a piece.
            sample_rate: of all.
        """
        self.pools = pools
        self.names = [name for name in shares if name == "tones" or name in pools]
        total = sum(shares[name] for name in self.names)
        self.probabilities = [shares[name] / total for name in self.names]
        self.num_samples = num_samples
        self.sample_rate = sample_rate

    def __len__(self) -> int:
        return sum(len(pool) for pool in self.pools.values()) // self.num_samples

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> Float[Tensor, "B 1 L"]:
        """Pieces for (index, seed) pairs."""
        return torch.from_numpy(np.stack([self._piece(seed) for _, seed in requests]))[:, None]

    def _piece(self, seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        name = generator.choice(self.names, p=self.probabilities)
        if name == "tones":
            piece = synthetic_tones(self.num_samples, self.sample_rate, generator)
        else:
            pool = self.pools[name]
            start = generator.integers(len(pool) - self.num_samples + 1)
            piece = pool[start : start + self.num_samples] / 32768
        piece = piece * 10 ** (generator.uniform(*GAIN_DB) / 20)
        return (piece / max(1.0, np.abs(piece).max())).astype(np.float32)


class WaveformPieces(Dataset[Tensor]):
    """Random pieces of many waveforms held in memory; a piece is chosen by its seed alone."""

    def __init__(self, waveforms: np.ndarray, num_samples: int) -> None:
        self.waveforms = waveforms
        self.num_samples = num_samples

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitems__(self, requests: Sequence[tuple[int, int]]) -> Float[Tensor, "B 1 L"]:
        """Pieces for (clip, seed) pairs; waveforms are stored as int16."""
        pieces = []
        for index, seed in requests:
            start = np.random.default_rng(seed).integers(self.waveforms.shape[1] - self.num_samples + 1)
            pieces.append(self.waveforms[index, start : start + self.num_samples])
        return torch.from_numpy(np.stack(pieces)).float().div(32768)[:, None]


def synthetic_tones(num_samples: int, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
    """One to three harmonic tones: steady, gliding or with vibrato, held or decaying; peak at most 0.7."""
    total = np.zeros(num_samples)
    for _ in range(generator.choice([1, 1, 1, 2, 3])):
        total += _tone(num_samples, sample_rate, generator)
    return total / (np.abs(total).max() + 1e-9) * generator.uniform(0.1, 0.7)


def _tone(num_samples: int, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
    seconds = np.arange(num_samples) / sample_rate
    duration = num_samples / sample_rate
    octaves = generator.choice([0.0, 0.0, generator.uniform(-1.2, 1.2)]) * seconds / duration
    depth = generator.choice([0.0, 0.0, generator.uniform(0.1, 0.6)]) / 12
    octaves += depth * np.sin(2 * np.pi * generator.uniform(3, 7) * seconds)
    frequency = np.exp(generator.uniform(np.log(80), np.log(3000))) * 2**octaves
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate
    harmonics = np.arange(1, generator.integers(2, 9))
    amplitudes = generator.uniform(0.2, 1, len(harmonics)) / harmonics
    waves = np.sin(harmonics[:, None] * phase + generator.uniform(0, 2 * np.pi, (len(harmonics), 1)))
    waves *= amplitudes[:, None] * (harmonics[:, None] * frequency < 0.47 * sample_rate)
    onset = generator.choice([0.0, generator.uniform(0, 0.6 * duration)])
    decay = generator.choice([0.0, 0.0, generator.uniform(1, 8)])
    since = seconds - onset
    envelope = np.exp(-decay * since.clip(0)) * (since / 0.005).clip(0, 1)
    first, last = generator.uniform(0.3, 1, 2)
    return waves.sum(axis=0) * envelope * np.linspace(first, last, num_samples)


def recordings_in(folders: Sequence[Path]) -> list[Path]:
    """The audio files in folders and below.

    Raises:
        ConfigError: there are none.
    """
    files = [
        path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in AUDIO_SUFFIXES
    ]
    if not files:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: no audio files ({' '.join(sorted(AUDIO_SUFFIXES))})"
        )
    return files


def read_pool(files: Sequence[Path], sample_rate: int) -> np.ndarray:
    """Audio files end to end, int16.

    Raises:
        MediaError: a file cannot be read.
    """
    sounds = [media.read_audio(path, sample_rate)[0].numpy() for path in files]
    return (np.concatenate(sounds).clip(-1, 1) * 32767).astype(np.int16)


def write_long_recordings(path: Path, folders: Sequence[Path], min_seconds: float) -> None:
    """Write a manifest of the recordings that are at least so long.

    Raises:
        MediaError: a file cannot be read.
        ConfigError: there are none.
    """
    found = [file for file in recordings_in(folders) if media.probe(file).duration >= min_seconds]
    with complete_file(path) as partial, partial.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["id", "path"])
        rows.writerows([f"{index:05d}_{file.stem}", file.resolve()] for index, file in enumerate(found))
