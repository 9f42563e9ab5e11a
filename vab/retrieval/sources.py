"""What goes into an index: files, and clips of a feature store whose codes and features are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vab import media
from vab.errors import MediaError, RetrievalError
from vab.features.manifest import media_below
from vab.features.store import FeatureStore, StoredClip
from vab.pipeline import Pipeline
from vab.shapes import Float, Int, Tensor
from vab.timing import num_samples


@dataclass(frozen=True)
class EncodedClip:
    """A clip as the model reads it; at least one of the two is there."""

    codes: Int[Tensor, "K _"] | None
    visual: Float[Tensor, "_ E"] | None


@dataclass(frozen=True)
class FileSource:
    """An audio or video file."""

    path: Path
    """Absolute."""
    start: float = 0.0
    """Seconds into the file."""

    def key(self, root: Path) -> str:
        """Its name in an index: the path from the media root."""
        return self.path.relative_to(root).as_posix()

    def stamp(self) -> tuple[int, ...]:
        """What changes when its content does: size and time of change."""
        try:
            status = self.path.stat()
        except OSError:
            return ()
        return (status.st_size, status.st_mtime_ns)

    def encode(self, pipeline: Pipeline, start: float, seconds: float) -> EncodedClip:
        """Codes and features of a stretch, shorter than asked for where the file ends in it.

        Args:
            pipeline: what encodes.
            start: seconds into the clip, a point of the pipeline's time grid.
            seconds: how much, likewise.

        Raises:
            VABError: it cannot be read.
        """
        info = media.probe(self.path)
        if not info.audio and not info.video:
            raise MediaError(f"{self.path}: has neither audio nor frames")
        codes = visual = None
        if (
            info.audio
            and (waveform := _read_until(self.path, pipeline.codec.sample_rate, start, seconds)).numel()
        ):
            codes = pipeline.encode_audio(waveform)
        if info.video:
            is_rest = start + seconds >= info.duration
            visual = pipeline.encode_video(self.path, start=start, duration=None if is_rest else seconds)
        return EncodedClip(codes, visual)


@dataclass(frozen=True)
class StoredSource:
    """A clip of a feature store; its members are those of a file."""

    store: FeatureStore
    number: int

    @property
    def clip(self) -> StoredClip:
        """What the store knows of it."""
        return self.store.clips[self.number]

    @property
    def path(self) -> Path:
        """The file it was extracted from."""
        return Path(self.clip.source).absolute()

    @property
    def start(self) -> float:
        """Seconds into that file."""
        return self.clip.start

    def key(self, root: Path) -> str:
        """Its id."""
        return self.clip.id

    def stamp(self) -> tuple[int, ...]:
        """Stored clips do not change."""
        return ()

    def encode(self, pipeline: Pipeline, start: float, seconds: float) -> EncodedClip:
        """Read codes and frames at the model's rate, without padding."""
        batch, config = self.store.read([self.number]), pipeline.model.config
        codes = batch.streams["codes"][0, : config.num_codebooks, batch.is_valid["codes"][0]]
        every = round(self.store.stream("clip").rate / pipeline.visual_fps)
        visual = batch.streams["clip"][0, batch.is_valid["clip"][0]][every // 2 :: every]
        codes = codes[:, _places(start, seconds, config.frame_rate)]
        visual = visual[_places(start, seconds, pipeline.visual_fps)]
        return EncodedClip(codes if codes.shape[1] else None, visual if len(visual) else None)


Source = FileSource | StoredSource
"""One clip to embed."""


def find_sources(inputs: Sequence[Path], pipeline: Pipeline) -> list[Source]:
    """Files, files in folders and below, clips of feature stores; each once.

    Raises:
        RetrievalError: an input gives nothing.
        StoreError: a store of another codec or encoder, or at a rate that the model's does not divide.
    """
    found: dict[tuple[Path, float], Source] = {}
    for path in inputs:
        sources = list(_expand(path, pipeline))
        if not sources:
            raise RetrievalError(f"{path}: no sound, video or feature store there; check the name")
        found |= {(source.path, source.start): source for source in sources}
    return list(found.values())


def _expand(path: Path, pipeline: Pipeline) -> Sequence[Source]:
    if (path / "store.json").is_file():
        store = FeatureStore(path)
        pipeline.card.check_store(store)
        if (ratio := store.stream("clip").rate / pipeline.visual_fps) != round(ratio):
            raise RetrievalError(
                f"{path} has {store.stream('clip').rate:g} frames a second, the model's {pipeline.visual_fps:g} "
                "do not divide that; extract at its rate"
            )
        return [StoredSource(store, number) for number in range(len(store))]
    if path.is_dir():
        return [FileSource(file.absolute()) for file in media_below(path)]
    return [FileSource(path.absolute())] if path.is_file() else []


def _read_until(path: Path, sample_rate: int, start: float, seconds: float) -> Float[Tensor, "1 L"]:
    """A file's audio from ``start`` on, ``seconds`` of it or what there is."""
    length, pieces, count = num_samples(seconds, sample_rate), [torch.zeros(1, 0)], 0
    for piece in media.iter_audio(path, sample_rate, start=start):
        pieces.append(piece)
        count += piece.shape[1]
        if count >= length:
            break
    return torch.cat(pieces, dim=1)[:, :length]


def _places(start: float, seconds: float, rate: float) -> slice:
    return slice(round(start * rate), round((start + seconds) * rate))
