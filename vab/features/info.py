"""What a feature store holds: the contents of its ``store.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vab.codecs.base import Codec
from vab.errors import StoreError
from vab.features.grid import TimeGrid
from vab.files import write_atomically
from vab.timing import num_frames, num_samples, num_steps
from vab.vision.base import VisualEncoder

FORMAT = "vab-features"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class CodecInfo:
    """The codec that made the codes."""

    name: str
    fingerprint: str
    sample_rate: int
    hop_length: int
    num_codebooks: int
    codebook_size: int

    @property
    def frame_rate(self) -> float:
        """Codec steps a second."""
        return self.sample_rate / self.hop_length


@dataclass(frozen=True)
class EncoderInfo:
    """The visual encoder that made the features."""

    name: str
    fingerprint: str
    embed_dim: int


@dataclass(frozen=True)
class StoreInfo:
    """Everything that all clips of a store have in common."""

    codec: CodecInfo
    encoder: EncoderInfo
    visual_fps: float
    """Visual frames a second."""
    clip_seconds: float
    """Every clip is cut or padded to this length (paper appendix B.1: 10)."""

    @classmethod
    def of(cls, codec: Codec, encoder: VisualEncoder, visual_fps: float, clip_seconds: float) -> StoreInfo:
        """The description of a store made with these two networks."""
        return cls(
            CodecInfo(
                name=codec.name,
                fingerprint=codec.fingerprint,
                sample_rate=int(codec.sample_rate),
                hop_length=int(codec.hop_length),
                num_codebooks=int(codec.num_codebooks),
                codebook_size=int(codec.codebook_size),
            ),
            EncoderInfo(encoder.name, encoder.fingerprint, int(encoder.embed_dim)),
            float(visual_fps),
            float(clip_seconds),
        )

    @property
    def num_samples(self) -> int:
        """Samples that go into the codec for one clip."""
        return num_samples(self.clip_seconds, self.codec.sample_rate)

    @property
    def num_steps(self) -> int:
        """S, codec steps of one clip."""
        return num_steps(self.num_samples, self.codec.hop_length)

    @property
    def num_frames(self) -> int:
        """F, visual frames of one clip."""
        return num_frames(self.clip_seconds, self.visual_fps)

    @property
    def grid(self) -> TimeGrid:
        """Where steps and frames of this store begin together."""
        return TimeGrid.of(self.codec.sample_rate, self.codec.hop_length, self.visual_fps)

    def write(self, store_dir: Path) -> None:
        """Write ``store.json``, whole or not at all."""
        document = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        document["codec"]["frame_rate"] = self.codec.frame_rate
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
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise StoreError(f"{path}: does not describe a feature store")
        if document.get("format_version") != FORMAT_VERSION:
            raise StoreError(
                f"{path}: format version {document.get('format_version')}, this program reads {FORMAT_VERSION}; "
                "extract again"
            )
        try:
            return cls._from_document(document)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path}: damaged, {type(error).__name__} {error}; extract again") from error

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> StoreInfo:
        codec = {key: value for key, value in document["codec"].items() if key != "frame_rate"}
        return cls(
            CodecInfo(**codec),
            EncoderInfo(**document["encoder"]),
            float(document["visual_fps"]),
            float(document["clip_seconds"]),
        )

    def check_same(self, other: StoreInfo, store_dir: Path) -> None:
        """Refuse to use a store for features of another kind.

        Args:
            other: what is wanted.
            store_dir: for the message.

        Raises:
            StoreError: names every difference.
        """
        here, wanted = _flat(asdict(self)), _flat(asdict(other))
        # A file loaded under two names is one codec: only what it computes counts.
        differences = [
            f"{key} {here[key]}, not {wanted[key]}"
            for key in here
            if here[key] != wanted[key] and not key.endswith(" name")
        ]
        if differences:
            raise StoreError(
                f"{store_dir}: made by {self.codec.name} and {self.encoder.name} with "
                f"{'; '.join(differences)}: use another --store"
            )


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"codec": {"name": 1}}`` as ``{"codec name": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= _flat(value, f"{prefix}{key} ") if isinstance(value, dict) else {prefix + key: value}
    return flat
