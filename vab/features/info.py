"""What a feature store holds: the contents of its ``store.json``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from vab.config import check_ranges, from_dict
from vab.errors import ConfigError, StoreError
from vab.features.grid import TimeGrid
from vab.files import write_atomically
from vab.timing import num_frames, num_samples, num_steps, steps_begun

FORMAT = "vab-features"
FORMAT_VERSION = 2

Kind = Literal["codes", "vectors", "latents"]
Source = Literal["audio", "frames"]
DTYPES = {"int16": torch.int16, "float16": torch.float16, "float32": torch.float32}
"""Types that streams have on disk."""
MOST_NUMBERS = 2**24
"""In a step of a stream."""


@dataclass(frozen=True)
class CodecFacts:
    """What a stream of codes needs to become a waveform again."""

    sample_rate: int
    hop_length: int
    codebook_size: int

    def __post_init__(self) -> None:
        check_ranges(self, sample_rate=(1, 1e7), hop_length=(1, 1e7), codebook_size=(1, 1e9))


@dataclass(frozen=True)
class StreamSize:
    """What a model takes of a stream of vectors."""

    width: int
    """Numbers a step."""
    rate: float
    """Steps a second."""

    def __post_init__(self) -> None:
        check_ranges(self, width=(1, 10**5), rate=(0.01, 10**4))


@dataclass(frozen=True)
class StreamInfo:
    """What all clips' features of one kind have in common."""

    name: str
    """Of letters, digits, "_" and "-"; the codes are called "codes", CLIP's features "clip"."""
    kind: Kind
    """codes [K, S], whole numbers; vectors [steps, E]; latents [steps, ...]."""
    source: Source
    """What of a file it is made from."""
    rate: float
    """Steps a second."""
    shape: tuple[int, ...]
    """Of one step: (K,), (E,)."""
    maker: str
    """Name of the codec or encoder."""
    fingerprint: str
    """Of the maker's configuration and weights: another one's features do not go with these."""
    dtype: str = "float16"
    """On disk."""
    codec: CodecFacts | None = None
    """Where the kind is codes."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.name):
            raise ValueError(f"a stream's name is made of letters, digits, _ and -, not {self.name!r}")
        for field, value, known in (
            ("kind", self.kind, get_args(Kind)),
            ("source", self.source, get_args(Source)),
            ("dtype", self.dtype, tuple(DTYPES)),
        ):
            if value not in known:
                raise ValueError(f"{self.name}: {field} {value!r} is none of {', '.join(known)}")
        check_ranges(self, rate=(1e-6, 1e6))
        if min(self.shape, default=1) < 1 or math.prod(self.shape) > MOST_NUMBERS:
            raise ValueError(f"{self.name}: shape must be positive, not {self.shape}")
        if (self.kind == "codes") != (self.codec is not None):
            raise ValueError(f"{self.name}: codes need a codec's facts, and nothing else has them")

    @property
    def sample_rate(self) -> int:
        """Of the waveform that codes become.

        Raises:
            ValueError: these are no codes.
        """
        if self.codec is None:
            raise ValueError(f"{self.name}: no codes")
        return self.codec.sample_rate

    def num_steps(self, seconds: float) -> int:
        """Steps of a clip of this length."""
        if self.codec:
            return num_steps(num_samples(seconds, self.codec.sample_rate), self.codec.hop_length)
        if self.source == "frames":
            return num_frames(seconds, self.rate)
        return max(1, steps_begun(seconds, self.rate))

    def batch_shape(self, size: int, steps: int) -> tuple[int, ...]:
        """Of ``size`` clips: time is last in codes and second in everything else."""
        return (size, *self.shape, steps) if self.kind == "codes" else (size, steps, *self.shape)


@dataclass(frozen=True)
class StoreInfo:
    """Everything that all clips of a store have in common."""

    streams: dict[str, StreamInfo]
    """By name."""
    clip_seconds: float
    """Every clip is cut or padded to this length (paper appendix B.1: 10)."""

    def __post_init__(self) -> None:
        check_ranges(self, clip_seconds=(1e-3, 1e6))

    @classmethod
    def of(cls, streams: Iterable[StreamInfo], clip_seconds: float) -> StoreInfo:
        """The description of a store with these streams."""
        return cls({stream.name: stream for stream in streams}, float(clip_seconds))

    def num_steps(self, stream: str) -> int:
        """Steps of every clip, padding included."""
        return self.streams[stream].num_steps(self.clip_seconds)

    @property
    def grid(self) -> TimeGrid:
        """Where steps of all streams begin together."""
        return TimeGrid.of({name: stream.rate for name, stream in self.streams.items()})

    def write(self, store_dir: Path) -> None:
        """Write ``store.json``, whole or not at all."""
        document = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        write_atomically(store_dir / "store.json", json.dumps(document, indent=2) + "\n")

    @classmethod
    def read(cls, store_dir: Path) -> StoreInfo:
        """Read ``store.json``.

        Raises:
            StoreError: no such store, a damaged file, or a store of another format version.
        """
        path = store_dir / "store.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(
                f"{store_dir}: not a feature store (no store.json); make one with `vab extract`"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise StoreError(f"{path}: does not describe a feature store")
        version = document.get("format_version")
        if version not in (1, FORMAT_VERSION):
            raise StoreError(
                f"{path}: format version {version}, this program reads 1 to {FORMAT_VERSION}; extract again"
            )
        try:
            streams = _old_streams(document) if version == 1 else document["streams"].values()
            read = [from_dict(StreamInfo, stream, source="stream") for stream in streams]
            return cls.of(read, document["clip_seconds"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
            reason = " ".join(str(error).split())
            raise StoreError(f"{path}: damaged, {type(error).__name__} {reason}; extract again") from error

    def check_same(self, other: StoreInfo, store_dir: Path) -> None:
        """Refuse to use a store for features of another kind.

        Args:
            other: what is wanted.
            store_dir: for the message.

        Raises:
            StoreError: names every difference.
        """
        here, wanted = (
            _flat({"clip_seconds": i.clip_seconds, **asdict(i)["streams"]}) for i in (self, other)
        )
        # A file loaded under two names is one codec: only what it computes counts.
        differences = [
            f"{key} {here.get(key, 'absent')}, not {wanted.get(key, 'absent')}"
            for key in {**here, **wanted}
            if here.get(key) != wanted.get(key) and not key.endswith(" maker")
        ]
        if differences:
            makers = " and ".join(stream.maker for stream in self.streams.values())
            raise StoreError(
                f"{store_dir}: made by {makers} with {'; '.join(differences)}: use another --store"
            )


def _old_streams(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The streams of a store of format version 1, which had codes and one visual encoder's features."""
    codec, encoder = document["codec"], document["encoder"]
    facts = {name: codec[name] for name in ("sample_rate", "hop_length", "codebook_size")}
    return [
        {
            "name": "codes",
            "kind": "codes",
            "source": "audio",
            "rate": codec["sample_rate"] / codec["hop_length"],
            "shape": [codec["num_codebooks"]],
            "maker": codec["name"],
            "fingerprint": codec["fingerprint"],
            "dtype": "int16",
            "codec": facts,
        },
        {
            "name": "clip",
            "kind": "vectors",
            "source": "frames",
            "rate": float(document["visual_fps"]),
            "shape": [encoder["embed_dim"]],
            "maker": encoder["name"],
            "fingerprint": encoder["fingerprint"],
            "codec": None,
        },
    ]


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"codes": {"rate": 1}}`` as ``{"codes rate": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= _flat(value, f"{prefix}{key} ") if isinstance(value, dict) else {prefix + key: value}
    return flat
