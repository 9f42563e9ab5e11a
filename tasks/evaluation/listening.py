"""``vab evaluate listening`` and ``vab evaluate answers``: a blinded test by people, made and analysed."""

from __future__ import annotations

import csv
import hashlib
import json
import mimetypes
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.console import console, numbers_table, say, track
from tasks.evaluation.listening_page import is_video, page
from tasks.evaluation.options import AnswersOptions, ListeningOptions
from vab import __version__, media
from vab.errors import VABError
from vab.files import check_outputs, write_atomically
from vab.media import VIDEO_SUFFIXES
from vab.metrics.opinion import mean_opinion, preference
from vab.metrics.pairing import files_by_id
from vab.pictures import data_url
from vab.weights import sha256_of

QUESTIONS = {"quality": "overall quality", "relevance": "how well the sound goes with the pictures"}
_KEY_FORMAT = "listening-key"


def make(options: ListeningOptions) -> int:
    """Write the page and the key."""
    systems = _systems(options.systems)
    inputs = [path for files in systems.values() for path in files.values()]
    check_outputs([options.output / "test.html", options.output / "key.json"], inputs)
    common = sorted(set.intersection(*(set(files) for files in systems.values())))
    if not common:
        raise VABError(f"no clip is in all of {', '.join(systems)}: files of one clip must have one name")
    chance = random.Random(options.seed)
    clips = chance.sample(common, min(options.num_clips, len(common)))
    names = list(systems)
    shown = (
        [(names[0], other) for other in names[1:]] if options.kind == "ab" else [(name,) for name in names]
    )
    trials = [(clip, tuple(chance.sample(each, len(each)))) for clip in clips for each in shown]
    chance.shuffle(trials)
    pictures = files_by_id(options.videos) if options.videos else {}
    with tempfile.TemporaryDirectory() as folder:
        embedded = [
            [_as_data(systems[name][clip], pictures.get(clip, []), Path(folder)) for name in order]
            for clip, order in track(trials, "embedding", unit="trials")
        ]
    # A digest of the trials ties answers to their key; who is who cannot be read from it.
    test = hashlib.sha256(json.dumps([options.seed, options.kind, trials]).encode()).hexdigest()[:12]
    key = {
        "format": _KEY_FORMAT,
        "version": 1,
        "test": test,
        "kind": options.kind,
        "systems": {
            name: str(Path(text.partition("=")[2])) for name, text in zip(names, options.systems, strict=True)
        },
        "trials": [{"clip": clip, "order": list(order)} for clip, order in trials],
        "files_sha256": {
            name: {clip: sha256_of(files[clip]) for clip in clips} for name, files in systems.items()
        },
        "seed": options.seed,
        "vab": __version__,
    }
    write_atomically(
        options.output / "test.html",
        page(test, options.kind, embedded, [_questions(each) for each in embedded]),
    )
    write_atomically(options.output / "key.json", json.dumps(key, indent=2) + "\n")
    say(
        f"{len(trials)} trials of {len(clips)} clips: give listeners {options.output / 'test.html'}, "
        f"keep {options.output / 'key.json'}"
    )
    return 0


def analyse(options: AnswersOptions) -> int:
    """Print tables, write JSON if asked."""
    if options.output:
        check_outputs([options.output])
    key = _read_key(options.key)
    answers = [answer for path in options.answers for answer in _read_answers(path, key)]
    listeners = {listener for listener, *_ in answers}
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for _, trial, question, value in answers:
        order = key["trials"][trial]["order"]
        if key["kind"] == "mos":
            groups[question, order[0]].append(value)
        else:
            first = next(name for name in key["systems"] if name in order)
            other = next(name for name in order if name != first)
            # The page counts from its left to its right; the order was drawn anew for every trial.
            groups[question, first, other].append(value if order[0] == first else -value)
    summarise = _show_opinions if key["kind"] == "mos" else _show_preferences
    results = summarise(groups)
    console.print(f"{len(answers)} answers of {len(listeners)} listeners")
    if options.output:
        document = {
            "kind": key["kind"],
            "test": key["test"],
            "listeners": len(listeners),
            "answers": len(answers),
            "results": results,
            "vab": __version__,
        }
        write_atomically(options.output, json.dumps(document, indent=2) + "\n")
    return 0


def _systems(texts: Sequence[str]) -> dict[str, dict[str, Path]]:
    systems: dict[str, dict[str, Path]] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not name or not equals or not folder or name in systems:
            raise ValueError(f"--systems {text}: write NAME=FOLDER, each name once")
        systems[name] = {
            clip: paths[0] for clip, paths in files_by_id(Path(folder)).items() if len(paths) == 1
        }
    if len(systems) < 2:
        raise ValueError("--systems: a comparison needs two or more")
    return systems


def _questions(clips: Sequence[str]) -> dict[str, str]:
    """What can be asked of a trial's clips: only frames can be fitted."""
    return QUESTIONS if all(map(is_video, clips)) else {"quality": QUESTIONS["quality"]}


def _as_data(path: Path, pictures: Sequence[Path], folder: Path) -> str:
    """A clip as a data URL, its sound joined to frames where it has none; the name in it says nothing."""
    info = media.probe(path).require_audio()
    assert info.audio is not None
    if path.suffix.lower() not in VIDEO_SUFFIXES and pictures:
        joined = folder / "joined.mp4"
        media.mux(pictures[0], media.iter_audio(path, info.audio.sample_rate), info.audio.sample_rate, joined)
        path = joined
    kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
    return data_url(path.read_bytes(), kind)


def _read_key(path: Path) -> dict[str, Any]:
    try:
        key = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise VABError(f"{path}: cannot be read as the key of a listening test; name its key.json") from error
    if not isinstance(key, dict) or key.get("format") != _KEY_FORMAT or key.get("version") != 1:
        raise VABError(f"{path}: not the key of a listening test; name its key.json")
    return key


def _read_answers(path: Path, key: dict[str, Any]) -> list[tuple[str, int, str, int]]:
    """Listener, trial, question and value of each line; the last where one was answered twice."""
    allowed = range(1, 6) if key["kind"] == "mos" else range(-2, 3)
    answers: dict[tuple[str, int, str], int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                trial, question, value = int(row["trial"]), row["question"], int(row["answer"])
                if row["test"] != key["test"]:
                    raise VABError(f"{path}: answers of test {row['test']}, the key is of {key['test']}")
                if not 0 <= trial < len(key["trials"]) or question not in QUESTIONS or value not in allowed:
                    raise ValueError(f"trial {trial}, {question}: {value}")
                answers[row["listener"], trial, question] = value
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise VABError(
            f"{path}: not the answers of a listening test ({error}); use the page's own CSV"
        ) from error
    if not answers:
        raise VABError(f"{path}: holds no answers")
    return [(*place, value) for place, value in answers.items()]


def _show_opinions(groups: dict[tuple[str, ...], list[int]]) -> list[dict[str, Any]]:
    def row(values: list[int], system: str) -> tuple[list[str], dict[str, Any]]:
        opinion = mean_opinion(values)
        numbers = [f"{opinion.mean:.2f}", f"± {opinion.interval:.2f}", f"{opinion.deviation:.2f}"]
        return [system, *numbers, str(opinion.num_ratings)], {"system": system, **asdict(opinion)}

    return _show(groups, ("", "mean", "95 %", "deviation", "ratings"), row)


def _show_preferences(groups: dict[tuple[str, ...], list[int]]) -> list[dict[str, Any]]:
    def row(values: list[int], first: str, second: str) -> tuple[list[str], dict[str, Any]]:
        found = preference(values)
        shares = [count / found.num_answers for count in found.counts]
        cells = (found.share_of_first, shares[0], shares[2], found.share_of_second, shares[4])
        numbers = [*(f"{share:.0%}" for share in cells), f"{found.p_value:.3g}", str(found.num_answers)]
        return [f"{first} or {second}", *numbers], {"first": first, "second": second, **asdict(found)}

    return _show(groups, ("", "first", "of it strong", "none", "second", "of it strong", "p", "answers"), row)


def _show(
    groups: dict[tuple[str, ...], list[int]],
    head: Sequence[str],
    row: Callable[..., tuple[list[str], dict[str, Any]]],
) -> list[dict[str, Any]]:
    """A table for each question that was answered; returns the numbers of all."""
    results = []
    for question, title in QUESTIONS.items():
        answered = {place[1:]: values for place, values in groups.items() if place[0] == question}
        if answered:
            table = numbers_table(title, *head, show_edge=False)
            for systems, values in answered.items():
                cells, numbers = row(values, *systems)
                table.add_row(*cells)
                results.append({"question": question, **_without_nan(numbers)})
            console.print(table)
    return results


def _without_nan(numbers: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what one rating cannot tell is null."""
    return {name: None if value != value else value for name, value in numbers.items()}
