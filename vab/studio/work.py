"""What the studio's page does, as functions of the Python API: nothing here knows a browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vab import media
from vab.audio import Layout
from vab.checkpoint import load_header
from vab.classification import Classifier
from vab.errors import ConfigError, MediaError, VABError
from vab.generation import Generation, SaveOptions, clip_of, settings_file
from vab.metrics.onsets import detect_onsets
from vab.pictures import draw_layout, draw_sound, draw_timeline
from vab.pipeline import Pipeline, load, model_path
from vab.retrieval.options import Branch
from vab.retrieval.previews import make_preview
from vab.retrieval.search import OTHER, Index, Row, one_query
from vab.shapes import Float, Tensor

MOST_SAMPLES = 4
"""Soundtracks of one video that are made at a time."""
FRAMES_SHOWN = 12
"""Frames above a layout."""
DUCK = 12.0
"""dB by which the video's own audio is lowered where the new one sounds, if it is ducked."""
PLAYABLE_CODECS = ("h264", "vp9", "av1")
"""Frames that browsers play from an MP4."""


@dataclass(frozen=True)
class Request:
    """What is to be generated."""

    video: Path
    system: str
    seed: int = 0
    num_samples: int = 1
    steps: int | None = None
    """Decoding steps; what is None is as the weights recommend."""
    cfg_scale: float | None = None
    temperature: float | None = None
    duration: float | None = None
    """Seconds from the start; all by default."""
    layout: Layout | None = None
    """Audio layout to follow instead of the predicted one."""


@dataclass(frozen=True)
class Sample:
    """A soundtrack that was written, to be played and kept."""

    title: str
    video: Path
    """MP4 that browsers play."""
    audio: Path
    """WAV."""
    settings: Path
    """JSON that says how it was made."""
    picture: Path
    """PNG: waveform with onsets, spectrogram."""
    onsets: tuple[float, ...]
    """Seconds."""

    @property
    def files(self) -> list[Path]:
        """What is kept of it."""
        return [self.video, self.audio, self.settings]


@dataclass(frozen=True)
class Found:
    """A clip that a search found, cut to the window that matched."""

    row: Row
    clip: Path | None
    """MP4 of the window, or WAV where there are no frames; None = its file cannot be shown."""
    picture: Path | None
    """A frame, or the spectrogram where there are no frames."""
    problem: str = ""

    @property
    def title(self) -> str:
        """Which clip, which moment, how near."""
        row = self.row
        times = f"{row.start:.1f} to {row.start + row.seconds:.1f} s"
        return f"{row.rank}. {row.score:.3f} {row.file}, {times}"


@dataclass(frozen=True)
class Classes:
    """What a file is, as a whole and over time."""

    overall: dict[str, float]
    """Probabilities of the likeliest classes."""
    moments: list[tuple[float, str]]
    """Seconds at which each begins, and its likeliest classes in words."""
    picture: Path
    """PNG of the timeline."""


class Studio:
    """Systems, indexes and a classifier, each loaded when first asked for; one job at a time."""

    def __init__(
        self,
        weights: Sequence[str | Path],
        *,
        index: Sequence[str | Path] = (),
        classes: str | Path = "demo-classes",
        device: str = "auto",
        max_seconds: float = 300.0,
        is_remote: bool = False,
    ) -> None:
        """Check that the weights are there; see ``launch``.

        Raises:
            ConfigError: no weights are given.
            WeightsError: weights are absent.
        """
        if not weights:
            raise ConfigError("no system to generate with; give --weights, such as demo")
        model_path(classes)
        self._weights = dict(zip(_short_names(weights), weights, strict=True))
        self.systems = list(self._weights)
        types = {name: load_header(model_path(each)).get("type") for name, each in self._weights.items()}
        self.layout_systems = [name for name, each in types.items() if each == "tiva"]
        self.indexes = list(index)
        self.classes = str(classes)
        self.max_seconds = max_seconds
        self._device = device
        self._is_remote = is_remote
        self._pipelines: dict[str, Pipeline] = {}
        self._working = threading.RLock()

    def pipeline(self, system: str) -> Pipeline:
        """A system, loaded once.

        Raises:
            ConfigError: it is none of ``systems``.
        """
        if system not in self.systems:
            raise ConfigError(f"no system {system!r}; there are: {', '.join(self.systems)}")
        with self._working:
            if system not in self._pipelines:
                self._pipelines[system] = load(self._weights[system], device=self._device)
            return self._pipelines[system]

    @cached_property
    def index(self) -> Index:
        """The indexes, opened as one.

        Raises:
            RetrievalError: none is given, or one cannot be opened.
        """
        return Index(*self.indexes, device=self._device)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier.

        Raises:
            WeightsError: its weights are not a classifier's.
        """
        return Classifier.load(self.classes, device=self._device)

    def check(self, file: Path, *, duration: float | None = None, needs: str = "video") -> float:
        """Seconds of a file to work on.

        Raises:
            MediaError: it cannot be read, lacks what is needed, or is longer than ``max_seconds``.
        """
        # What strangers send may crash a decoder: it is decoded in a process of its own first.
        is_safe = not self._is_remote
        info = media.probe(file) if is_safe else media.decode_limited(_decode_all, file, self.max_seconds)
        info = info.require_video() if needs == "video" else info.require_audio()
        seconds = min(duration or info.duration, info.duration)
        if seconds > self.max_seconds:
            raise MediaError(
                f"{file.name}: {seconds:.0f} s; the studio takes {self.max_seconds:g} s: cut it, or generate "
                "with a duration"
            )
        return seconds

    def generate(
        self, request: Request, *, on_progress: Callable[[float], None] | None = None
    ) -> list[Generation]:
        """Soundtracks for a video.

        ``on_progress`` is called with the share that is done, after each window; what it raises ends the work.

        Raises:
            MediaError: the video cannot be read, or is too long.
            ValueError: an option is out of range.
        """
        if not 1 <= request.num_samples <= MOST_SAMPLES:
            raise ValueError(f"samples must be 1 to {MOST_SAMPLES}, not {request.num_samples}")
        if request.duration is not None and request.duration <= 0:
            raise ValueError(f"duration must be above 0, not {request.duration:g}")
        seconds = self.check(request.video, duration=request.duration)
        clip = clip_of(request.video)
        done = 0.0

        def report(share: float) -> None:
            nonlocal done
            done += share
            if on_progress:
                on_progress(min(1.0, done))

        with self._working:
            report(0.0)
            made = self.pipeline(request.system).generate_many(
                [clip if request.duration is None else replace(clip, duration=seconds)],
                seed=request.seed,
                num_samples=request.num_samples,
                steps=request.steps,
                cfg_scale=request.cfg_scale,
                temperature=request.temperature,
                conditions=None if request.layout is None else {"layout": request.layout.values},
                batch_size=1,
                on_progress=report,
            )
            return list(made)

    def write(self, generations: Sequence[Generation], save: SaveOptions, folder: Path) -> list[Sample]:
        """Soundtracks as files to play and to keep, mixed and levelled as ``save`` says.

        Raises:
            MediaError: the video has no audio to mix in.
        """
        return [_write(each, save, folder) for each in generations]

    def search(
        self,
        folder: Path,
        *,
        video: Path | None = None,
        audio: Path | None = None,
        text: str | None = None,
        in_: Branch | None = None,
        top: int = 10,
    ) -> list[Found]:
        """The ``top`` nearest clips of the indexes, each cut to the window that matched, written to ``folder``.

        The query is the frames of a ``video``, the audio of a file or a ``text`` of what can be seen in one frame. It
        is looked for in the other modality than its own, or else ``in_``.

        Raises:
            VABError: there is no index, or the file cannot be read.
            ValueError: not exactly one query.
        """
        modality, query = one_query(video, audio, text)
        if modality != "text":
            self.check(Path(query), needs=modality)
        with self._working:
            rows = self.index.search(video=video, audio=audio, text=text, in_=in_, top=top)
        return self._cut(rows, in_ or OTHER[modality], folder)

    def search_more(
        self, folder: Path, found: Found, modality: Branch, *, in_: Branch | None = None, top: int = 10
    ) -> list[Found]:
        """The nearest clips to the frames or the audio of one that was found.

        Raises:
            RetrievalError: the clip lacks that modality.
        """
        branch = in_ or OTHER[modality]
        with self._working:
            query = self.index.parts[found.row.index].clip_embeddings(modality, found.row.id)
            rows = self.index.nearest(query, branch, top)
        return self._cut(rows, branch, folder)

    def _cut(self, rows: Sequence[Row], branch: Branch, folder: Path) -> list[Found]:
        found = []
        for row in rows:
            try:
                preview = make_preview(self.index.media_file(row, branch), row.start, row.seconds)
            except VABError as error:
                found.append(Found(row, None, None, str(error)))
                continue
            clip = folder / f"{row.rank}{'.mp4' if preview.clip_type == 'video/mp4' else '.wav'}"
            clip.write_bytes(preview.clip)
            picture = None
            if image := preview.thumbnail or preview.spectrogram:
                picture = folder / f"{row.rank}.png"
                picture.write_bytes(image)
            found.append(Found(row, clip, picture))
        return found

    def classify(self, file: Path, folder: Path, *, every: float = 1.0, window: float = 2.0) -> Classes:
        """Classes of a file, and around points ``every`` seconds apart, by ``window`` seconds around each.

        Raises:
            MediaError: the file cannot be read, or lacks what the classifier looks at.
            ValueError: ``every`` or ``window`` is not above 0.
        """
        if every <= 0 or window <= 0:
            raise ValueError("'every' and 'window' must be above 0 seconds")
        with self._working:
            classifier = self.classifier
            seconds = self.check(file, needs="audio" if classifier.modality == "audio" else "video")
            found = classifier.classify(file, every=every, window_seconds=window)
        rate = classifier.sample_rate
        sound = media.read_audio(file, rate, duration=seconds) if media.probe(file).audio else None
        picture = folder / "timeline.png"
        picture.write_bytes(
            draw_timeline(
                found.over_time,
                classifier.classes,
                every=every,
                seconds=seconds,
                sound=sound,
                sample_rate=rate,
                title=file.name,
            )
        )
        likely = [_likeliest(row, classifier.classes, 3) for row in found.over_time]
        words = [", ".join(f"{name} {share:.2f}" for name, share in each.items()) for each in likely]
        return Classes(
            _likeliest(found.overall, classifier.classes, 6),
            [(number * every, each) for number, each in enumerate(words)],
            picture,
        )

    def predict_layout(self, video: Path, system: str, *, duration: float | None = None) -> Layout:
        """The audio layout that a system predicts of a video.

        Raises:
            WeightsError: the system predicts none; that of a tiva does.
            MediaError: the video cannot be read, or is too long.
        """
        seconds = self.check(video, duration=duration)
        with self._working:
            pipeline = self.pipeline(system)
            predicted = pipeline.predict_conditions(replace(clip_of(video), duration=seconds))
            return Layout(predicted["layout"], pipeline.predicted_rates["layout"])


def save_options(mix: str, level: float, loudness: float | None, peak: float) -> SaveOptions:
    """How a soundtrack is written.

    Args:
        mix: ``replace`` the video's own audio, add it at a ``level``, or ``duck`` it where the new one sounds.
        level: dB by which the video's own audio is changed.
        loudness: LUFS; None = as generated.
        peak: dB below full scale that a sound of that loudness does not pass; a mix never passes -1.
    """
    return SaveOptions(
        loudness=loudness,
        peak=None if loudness is None else peak,
        mix=None if mix == "replace" else level,
        duck=DUCK if mix == "duck" else None,
    )


def _short_names(weights: Sequence[str | Path]) -> list[str]:
    """As many of the last parts of each path as tell them apart."""
    parts = [Path(each).parts for each in weights]
    counts = range(1, max(map(len, parts)))
    short = (["/".join(each[-count:]) for each in parts] for count in counts)
    return next((names for names in short if len(set(names)) == len(parts)), [str(each) for each in weights])


def _write(generation: Generation, save: SaveOptions, folder: Path) -> Sample:
    settings = generation.settings
    name = f"{generation.clip.id}-seed{settings['seed']}-{settings['sample']}"
    video, audio = folder / f"{name}.mp4", folder / f"{name}.wav"
    generation.save(audio, save)
    generation.save(video, replace(save, transcode=not _is_playable(generation.clip.path)))
    waveform, rate = generation.waveform, generation.sample_rate
    onsets = tuple(round(time, 2) for time in detect_onsets(waveform, rate).tolist())
    picture = folder / f"{name}.png"
    picture.write_bytes(draw_sound(waveform, rate, onsets))
    title = f"Sample {settings['sample'] + 1}, seed {settings['seed']}"
    return Sample(title, video, audio, settings_file(video), picture, onsets)


def _is_playable(file: Path) -> bool:
    """Whether browsers play the frames as they are, copied into an MP4."""
    video = media.probe(file).require_video().video
    return (
        video is not None
        and video.codec in PLAYABLE_CODECS
        and file.suffix.lower() in (".mp4", ".m4v", ".mov")
    )


def _decode_all(file: Path, max_seconds: float) -> media.MediaInfo:
    """What a file holds, after it was decoded, to be called in a process of its own."""
    info = media.probe(file)
    if info.video:
        for _ in media.iter_frames(file, 1.0, duration=min(info.duration, max_seconds), max_size=64):
            pass
    if info.audio:
        for _ in media.iter_audio(file, 8000):
            pass
    return info


def draw_layout_of(layout: Layout, video: Path) -> bytes:
    """A PNG of a layout under the frames of its video."""
    seconds = layout.values.shape[0] / layout.rate
    frames = media.iter_frames(video, FRAMES_SHOWN / seconds, duration=seconds, max_size=96)
    return draw_layout(layout.values, layout.rate, np.concatenate(list(frames)))


def _likeliest(
    probabilities: Float[Tensor, " classes"], names: Sequence[str], count: int
) -> dict[str, float]:
    values, numbers = probabilities.topk(min(count, len(names)))
    return {names[number]: value for value, number in zip(values.tolist(), numbers.tolist(), strict=True)}
