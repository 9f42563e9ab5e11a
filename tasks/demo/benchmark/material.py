"""The benchmark's clips: ground truth, true sound, and the frames' features that a model is given."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from tasks.console import track
from tasks.demo.kept import kept_sounds
from tasks.demo.options import (
    AblationOptions,
    BenchmarkOptions,
    CurationOptions,
    LayoutEditsOptions,
    SweepOptions,
)
from tasks.demo.world import CORPUS_VERSION, Scene, render_waveform, sample_scene, write_corpus
from tasks.extraction.options import ExtractOptions
from tasks.extraction.run import run as extract
from tasks.options import command_line
from tasks.record import conditions, of_pipeline
from vab import media
from vab.components import component_source
from vab.config import to_dict
from vab.errors import VABError
from vab.features.dataset import FeatureDataset
from vab.features.store import FeatureStore
from vab.models.files import REFINER
from vab.pipeline import Pipeline, model_path
from vab.shapes import Float, Tensor

SPLIT = "test"
CLIP_SECONDS = 10.0


@dataclass(frozen=True)
class BenchmarkClip:
    """One held-out clip."""

    video: Path
    truth: dict[str, Any]
    """Its ground truth."""
    waveform: Float[Tensor, "1 L"]
    """True sound, at the rate of what the model generates."""
    conditions: dict[str, Tensor]
    """What the model takes of its frames, by stream."""

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.truth["id"])

    @property
    def source(self) -> dict[str, Any] | None:
        """What sounds, where it is one thing and to be seen; None in the harder clips."""
        sources = self.truth["sources"]
        return sources[0] if len(sources) == 1 and sources[0]["on_screen"] else None

    @property
    def label(self) -> str:
        """Class of its first source."""
        return str(self.truth["label"])

    @property
    def kind(self) -> str:
        """Of its first source: impact, continuous or texture."""
        return str(self.truth["sources"][0]["kind"])

    def state(self, name: str) -> Float[Tensor, " F"]:
        """A quantity of its first source, frame by frame, float64."""
        return torch.tensor(self.truth["sources"][0]["state"][name], dtype=torch.float64)

    @cached_property
    def event_times(self) -> Float[Tensor, " m"]:
        """Seconds, float64."""
        return torch.tensor([event["time"] for event in self.truth["events"]], dtype=torch.float64)


def prepare_store(output: Path, counts: dict[str, int], weights: str, pipeline: Pipeline) -> Path:
    """Render clips and extract the features that a model wants; both resume.

    Args:
        output: gets the folders ``corpus`` and ``store``.
        counts: clips of each split.
        weights: the model's name or file.
        pipeline: the same, loaded.

    Raises:
        VABError: the model takes other streams than "clip", or the extraction failed.
    """
    path, card = model_path(weights), pipeline.card
    if card.components.keys() - {REFINER} != {"codes", "clip"}:
        streams = ", ".join(pipeline.condition_rates)
        raise VABError(f"{weights} takes {streams}: give a --store of Foley world with these streams")
    corpus, store = output / "corpus", output / "store"
    write_corpus(corpus, counts, duration=CLIP_SECONDS)
    options = ExtractOptions(
        inputs=[str(corpus / "manifest.csv")],
        store=store,
        codec=component_source(card.components["codes"], path),
        encoder=component_source(card.components["clip"], path),
        visual_fps=pipeline.visual_fps,
        clip_seconds=CLIP_SECONDS,
        device=str(pipeline.device),
    )
    if extract(options):
        raise VABError(
            f"{corpus}: no features could be extracted; {store / 'failures.jsonl'} has the reasons"
        )
    return store


def measured_on(
    num_clips: int,
    pipeline: Pipeline,
    sampling: Any,
    command: str,
    options: BenchmarkOptions | SweepOptions | LayoutEditsOptions | AblationOptions | CurationOptions,
    *,
    kind: str = "",
    **more: Any,
) -> dict[str, Any]:
    """The conditions of a measurement of a model on held-out clips.

    Args:
        num_clips: that were measured.
        pipeline: the model.
        sampling: with which it generated; None: nothing was sampled.
        command: its name.
        options: of the command.
        kind: which of the clips, where not all.
        more: see ``conditions``.
    """
    return conditions(
        clips=f"Foley world {CORPUS_VERSION}, {SPLIT} split{kind}",
        num_clips=num_clips,
        num_expected=options.clips,
        clip_seconds=CLIP_SECONDS,
        sampling=None if sampling is None else to_dict(sampling),
        seed=options.seed,
        command=command_line(command, options),
        **of_pipeline(pipeline),
        **more,
    )


def held_out(store: FeatureStore, num_clips: int) -> list[int]:
    """The first held-out clips of a store of Foley world, in the order of their names, so that classes take turns.

    Raises:
        VABError: it has no held-out clips.
    """
    indices = sorted(store.select(split=SPLIT), key=lambda index: store.clips.ids[index])[:num_clips]
    if not indices:
        raise VABError(f"{store.path} has no clips of the split {SPLIT!r}")
    return indices


def read_clips(
    store_path: Path, num_clips: int, pipeline: Pipeline, *, also: Collection[str] = ()
) -> list[BenchmarkClip]:
    """Held-out clips with what the model takes of their frames.

    Args:
        store_path: a store of Foley world.
        num_clips: as many, where there are so many.
        pipeline: the model.
        also: more streams that it was trained on, as conditions.

    Raises:
        StoreError: a stream was made with another encoder than the model's.
        VABError: there are no held-out clips.
    """
    store = FeatureStore(store_path)
    streams = {**pipeline.condition_rates, **dict.fromkeys(also)}
    pipeline.card.check_store(store, streams)
    indices = held_out(store, num_clips)
    data = FeatureDataset(store, indices, streams=streams, crop_seconds=CLIP_SECONDS)
    clips = []
    for row in track(range(len(indices)), "reading"):
        video = Path(store.clips[indices[row]].source)
        waveform = media.read_audio(video, pipeline.generator.sample_rate, duration=CLIP_SECONDS)
        truth = json.loads(video.with_suffix(".json").read_text())
        clips.append(BenchmarkClip(video, truth, waveform, data[row, 0].clips()[0]))
    return clips


def partner_of(clips: Sequence[BenchmarkClip]) -> list[int]:
    """For each clip another of the same kind (impact, continuous, texture) and of another class."""
    kinds = [clip.kind for clip in clips]
    partners = []
    for index, clip in enumerate(clips):
        others = [(index + step) % len(clips) for step in range(1, len(clips))]
        partners.append(
            next(
                (
                    other
                    for other in others
                    if kinds[other] == kinds[index] and clips[other].label != clip.label
                ),
                index,
            )
        )
    return partners


def training_sounds(num_clips: int, folder: Path) -> tuple[Float[Tensor, "N L"], list[str]]:
    """Sounds of training scenes with one source, and their classes, rendered without frames; kept in ``folder``."""
    scenes: list[Scene] = []
    index = 0
    while len(scenes) < num_clips:
        scene = sample_scene(0, "train", index, CLIP_SECONDS)
        index += 1
        if len(scene.sources) == 1:
            scenes.append(scene)
    path = folder / f"training-sounds-world{CORPUS_VERSION}-{num_clips}.npy"
    sounds = kept_sounds(path, "training sounds", scenes, lambda scene: render_waveform(scene)[0])
    return sounds, [scene.sources[0].name for scene in scenes]
