"""Whether a clip's audio belongs to its frames: one number a clip of a feature store (V-AURA, section IV)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vab import media
from vab.errors import MediaError
from vab.features.manifest import Clip
from vab.features.read import start_in_file
from vab.features.store import FeatureStore, StoredClip
from vab.metrics.imagebind import ImageBind
from vab.pipeline import Pipeline
from vab.retrieval.sources import find_sources

COLUMNS = ("id", "path", "start", "duration", "split", "labels", "caption", "similarity")


@dataclass(frozen=True)
class Match:
    """A clip and how well its audio and its frames go together."""

    clip: StoredClip
    similarity: float
    """Cosine of the two embeddings."""


def match_by_agreement(store: FeatureStore, pipeline: Pipeline) -> Iterator[Match | StoredClip]:
    """Each clip by an encoder for search, from the features that the store holds; a clip that lacks any as it is.

    Raises:
        StoreError: the store was made with another codec or encoder than the weights.
    """
    for clip, source in zip(store.clips, find_sources([store.path], pipeline), strict=True):
        found = source.encode(pipeline, 0.0, store.info.clip_seconds)
        if found.codes is None or found.visual is None:
            yield clip
        else:
            yield Match(clip, pipeline.agreement(found.codes, found.visual))


def match_by_files(
    store: FeatureStore, model: ImageBind, on_error: Callable[[str], None]
) -> Iterator[Match | StoredClip]:
    """Each clip by a published network such as ImageBind, from the files; a clip that cannot be read as it is."""
    for clip in store.clips:
        path = Path(clip.source)
        try:
            info = media.probe(path).require_video().require_audio()
            start = start_in_file(
                Clip(clip.id, path, clip.start, clip.duration, may_be_cut=True), info.duration
            )
            longest = store.info.clip_seconds
            seconds = min(clip.duration or longest, longest, info.duration - start)
            audio = media.read_audio(path, model.sample_rate, start=start, duration=seconds)
            frames = model.embed_video(path, start=start, duration=seconds)
            yield Match(clip, (model.embed_audio(audio) @ frames).item())
        except MediaError as error:
            on_error(str(error))
            yield clip


def write_list(matches: Sequence[Match], comments: Sequence[str]) -> str:
    """A list of clips with their similarity, the best first, which all commands read that read lists."""
    text = io.StringIO()
    text.writelines(f"# {comment}\n" for comment in comments)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for match in sorted(matches, key=lambda each: -each.similarity):
        clip = match.clip
        duration = "" if clip.duration is None else clip.duration
        path = Path(clip.source).absolute()
        labels = "|".join(clip.labels)
        similarity = f"{match.similarity:.4f}"
        writer.writerow([clip.id, path, clip.start, duration, clip.split, labels, clip.caption, similarity])
    return text.getvalue()
