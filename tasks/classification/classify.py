"""``vab classify``: classes of clips, and of long files over time; one bad file never stops the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.classification.options import ClassifyOptions
from tasks.console import say, tell_limits, track, warn
from vab import __version__, media
from vab.classification import Classified, Classifier
from vab.errors import MediaError, VABError
from vab.files import write_atomically
from vab.pictures import draw_timeline
from vab.shapes import Float, Tensor


def run(options: ClassifyOptions) -> int:
    """Exit code 0, or 2 where any input failed."""
    files, failures = _find(options.inputs)
    classifier = Classifier.load(options.weights, device=options.device)
    tell_limits(classifier.pipeline)
    documents = []
    for file in track(files, "classifying", unit="files"):
        try:
            found = classifier.classify(file, every=options.every, window_seconds=options.window)
            picture = _draw(classifier, file, found, options) if found.times else None
        except VABError as error:
            failures.append(str(error))
            continue
        window = options.window or classifier.windows.seconds
        if len(found.times) > 1 and found.seconds <= window:
            warn(
                f"vab classify: {file}: no longer than the window of {window:g} s, so it is the same at every "
                "time; give a shorter --window"
            )
        documents.append(_document(file, found, classifier.classes, options.top, picture))
    if options.json:
        result = {"weights": classifier.pipeline.provenance, "vab": __version__, "files": documents}
        print(json.dumps(result, indent=2))
    else:
        for document in documents:
            say(_in_words(document))
    for failure in failures:
        warn(f"vab classify: {failure}")
    return 2 if failures else 0


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


def _draw(classifier: Classifier, file: Path, found: Classified, options: ClassifyOptions) -> Path:
    """The timeline's picture; two files of one name in different folders get frames of their own."""
    rate = classifier.sample_rate
    sound = media.read_audio(file, rate, duration=found.seconds) if media.probe(file).audio else None
    path = options.output / f"{file.resolve().parent.name}-{file.name}.png"
    picture = draw_timeline(
        found.over_time,
        classifier.classes,
        every=options.every or found.seconds,
        seconds=found.seconds,
        sound=sound,
        sample_rate=rate,
        title=file.name,
    )
    write_atomically(path, picture)
    return path


def _document(
    file: Path, found: Classified, names: Sequence[str], top: int, picture: Path | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "file": str(file),
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


def _labels(probabilities: Float[Tensor, " classes"], names: Sequence[str], top: int) -> list[dict[str, Any]]:
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
