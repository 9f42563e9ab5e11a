"""``vab classify``: classes of clips, and of long files over time; one bad file never stops the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import vab
from tasks.classification.options import ClassifyOptions
from tasks.classification.timeline import draw_timeline
from tasks.console import console, errors, progress_bar
from vab import __version__, media
from vab.errors import MediaError, VABError, WeightsError
from vab.models.vab.classifier import VABClassifier
from vab.models.vab.prediction import centred_starts, tiled_starts, window_probabilities
from vab.pipeline import Pipeline
from vab.shapes import Float, Tensor
from vab.weights import write_atomically


@dataclass(frozen=True)
class Classified:
    """What a file is, and what it is over time."""

    file: Path
    seconds: float
    overall: Float[Tensor, " classes"]
    times: list[float]
    """Seconds; empty where no timeline is wanted."""
    over_time: Float[Tensor, "times classes"]


def run(options: ClassifyOptions) -> int:
    """Exit code 0, or 2 where any input failed."""
    files, failures = _find(options.inputs)
    pipeline = load_classifier(options.weights, device=options.device)
    names = pipeline.model.config.classes
    documents = []
    with progress_bar("files") as progress:
        for file in progress.track(files, description="classifying"):
            try:
                found = classify(pipeline, file, options)
                picture = _draw(pipeline, found, options) if found.times else None
            except VABError as error:
                failures.append(str(error))
                continue
            documents.append(_document(found, names, options.top, picture))
    if options.json:
        result = {"weights": pipeline.provenance, "vab": __version__, "files": documents}
        print(json.dumps(result, indent=2))
    else:
        for document in documents:
            console.print(_in_words(document), markup=False, soft_wrap=True)
    for failure in failures:
        errors.print(f"vab classify: {failure}", markup=False, soft_wrap=True)
    return 2 if failures else 0


def load_classifier(name: str, *, device: str) -> Pipeline:
    """A classifier with its codec and encoder.

    Raises:
        WeightsError: the weights are of something else.
    """
    pipeline = vab.load(name, device=device)
    if not isinstance(pipeline.model, VABClassifier):
        raise WeightsError(f"{name}: a {pipeline.card.type!r} names no classes; make one with 'vab finetune'")
    return pipeline


def classify(pipeline: Pipeline, file: Path, options: ClassifyOptions) -> Classified:
    """Probabilities of a file as a whole, the mean over windows side by side, and over time if asked for.

    Raises:
        MediaError: the file cannot be read, or lacks what the classifier looks at.
    """
    modality = pipeline.model.config.modality
    info = media.probe(file)
    if modality != "visual":
        info.require_audio()
    if modality != "audio":
        info.require_video()
    codes = None if modality == "visual" else pipeline.encode_audio(file, duration=info.duration)
    visual = None if modality == "audio" else pipeline.encode_video(file, duration=info.duration)
    window = pipeline.card.window_seconds

    def probabilities(starts: Sequence[float]) -> Tensor:
        return window_probabilities(
            pipeline.model, codes, visual, starts, window_seconds=window, batch_size=options.batch_size
        )

    overall = probabilities(tiled_starts(info.duration, window)).mean(dim=0)
    if options.every is None:
        return Classified(file, info.duration, overall, [], torch.zeros(0, len(overall)))
    starts = centred_starts(info.duration, window, options.every)
    times = [(i + 0.5) * options.every for i in range(len(starts))]
    return Classified(file, info.duration, overall, times, probabilities(starts))


def _find(inputs: list[str]) -> tuple[list[Path], list[str]]:
    """All files that the inputs name, each once, and a line for each input that names none."""
    files: dict[Path, None] = {}
    failures = []
    for item in inputs:
        try:
            files.update(dict.fromkeys(media.find_media([item])))
        except MediaError as error:
            failures.append(str(error))
    return list(files), failures


def _draw(pipeline: Pipeline, found: Classified, options: ClassifyOptions) -> Path:
    """The timeline's picture; two files of one name in different folders get pictures of their own."""
    info = media.probe(found.file)
    rate = pipeline.codec.sample_rate
    sound = media.read_audio(found.file, rate, duration=found.seconds) if info.audio else None
    path = options.output / f"{found.file.resolve().parent.name}-{found.file.name}.png"
    picture = draw_timeline(
        found.over_time,
        pipeline.model.config.classes,
        every=options.every or found.seconds,
        seconds=found.seconds,
        sound=sound,
        sample_rate=rate,
        title=found.file.name,
    )
    write_atomically(path, picture)
    return path


def _document(found: Classified, names: list[str], top: int, picture: Path | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "file": str(found.file),
        "seconds": round(found.seconds, 3),
        "labels": _labels(found.overall, names, top),
    }
    if picture:
        document["picture"] = str(picture)
        document["timeline"] = [
            {"time": round(time, 3), "labels": _labels(row, names, top)}
            for time, row in zip(found.times, found.over_time, strict=True)
        ]
    return document


def _labels(probabilities: Float[Tensor, " classes"], names: list[str], top: int) -> list[dict[str, Any]]:
    values, numbers = probabilities.topk(min(top, len(names)))
    return [
        {"class": names[number], "probability": round(value, 4)}
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True)
    ]


def _in_words(document: dict[str, Any]) -> str:
    def words(labels: list[dict[str, Any]]) -> str:
        return ", ".join(f"{one['class']} {one['probability']:.2f}" for one in labels)

    lines = [f"{document['file']}: {words(document['labels'])}"]
    lines += [
        f"  {moment['time']:8.1f} s  {words(moment['labels'])}" for moment in document.get("timeline", [])
    ]
    lines += [f"  timeline: {document['picture']}"] if "picture" in document else []
    return "\n".join(lines)
