"""``vab evaluate results``: the page of results, written from the JSON files of measurements and a template."""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.console import say
from tasks.evaluation.options import ResultsOptions
from tasks.record import INDEX_COLUMNS
from vab.errors import ConfigError
from vab.files import check_outputs, write_atomically

TEMPLATE = "template.md"
_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_TABLE = "table "
_NUMBERS = {
    "f1_50ms": "F1 ±50 ms",
    "f1_100ms": "F1 ±100 ms",
    "loudness": "loudness r",
    "brightness": "brightness r",
    "class": "class",
}
GENERATED = "generated"
_SWEPT = {
    "num_steps": "{:g} steps",
    "cfg_scale": "guidance {:g}",
    "temperature": "temperature {:g}",
    "best of": "best of {:g}",
}

_ABLATED: tuple[tuple[str, str, Callable[[Any], float | None]], ...] = (
    ("tokens", "loss,\nall masked", operator.itemgetter("all_masked/loss_with_vision")),
    ("tokens", "without\nframes", lambda tokens: tokens.get("all_masked/loss_without_vision")),
    ("retrieval", "frames to\naudio R@1", operator.itemgetter("visual to audio")),
    ("probe", "probe on\nframes, mAP", float),
    ("onset_curves", "W-dis,\ns", operator.itemgetter("wasserstein")),
    ("onset_curves", "DTW-dis", operator.itemgetter("dtw")),
    ("prediction", "error, of the\nmean layout's", lambda errors: errors["loss"] / errors["loss_of_mean"]),
)
"""Part of a row, head and number; None: an earlier run did not measure it."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Text in columns."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def run(options: ResultsOptions) -> int:
    """Write the page."""
    check_outputs([options.output], options.source.glob("*"))
    write_atomically(options.output, page(options.source))
    say(str(options.output))
    return 0


def page(source: Path) -> str:
    """The template with its places filled in.

    ``{{ table NAME ... }}`` is the table of one or more measurements of one benchmark, with their conditions;
    ``{{ NAME: KEY.KEY }}`` a number of one, ``{{ NAME: KEY.KEY / KEY.KEY }}`` or with ``-`` of two of its numbers,
    either with ``| FORMAT`` as Python has it.

    Raises:
        ConfigError: a file is absent or damaged, or has not what the template asks for.
    """
    template = source / TEMPLATE
    if not template.is_file():
        raise ConfigError(f"{template}: no such file; it holds the text of the page")

    @functools.cache
    def read(name: str) -> Document:
        path = source / f"{name}.json"
        try:
            document: Document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: not a measurement's JSON ({error})") from error
        return document

    def filled(match: re.Match[str]) -> str:
        place = match[1]
        try:
            if place.startswith(_TABLE):
                names = place.removeprefix(_TABLE).split()
                return _table_of(names, [read(name) for name in names])
            name, _, rest = place.partition(":")
            return _number(read(name), rest)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ConfigError(f"{template}: {{{{ {place} }}}} cannot be filled in ({error!r})") from error

    return _PLACE.sub(filled, template.read_text(encoding="utf-8"))


def _number(document: Document, rest: str) -> str:
    what, _, form = (part.strip() for part in rest.partition("|"))
    for sign, of in ((" / ", operator.truediv), (" - ", operator.sub)):
        if sign in what:
            return _shown(of(*(_value(document, path) for path in what.split(sign))), form)
    return _shown(_value(document, what), form)


def _shown(value: Any, form: str) -> str:
    """With a space before the sign of per cent; nothing where there is no value."""
    return "" if value is None else f"{value:{form}}".replace("%", " %")


def _value(document: Document, path: str) -> Any:
    return functools.reduce(operator.getitem, path.strip().split("."), document)


def _table_of(names: Sequence[str], documents: Sequence[Document]) -> str:
    [kind] = {document["benchmark"] for document in documents}
    conditions = "\n".join(
        f"- `{name}.json`: {_conditions(document)}" for name, document in zip(names, documents, strict=True)
    )
    return f"{_TABLES[kind](documents)}\n\n{conditions}"


def _conditions(document: Document) -> str:
    """In one line; what is unknown, as of transcribed measurements, is left out."""
    known = {name: value for name, value in document["conditions"].items() if value is not None}
    sampling = known.get("sampling")
    length = f" of {known['clip_seconds']:g} s" if "clip_seconds" in known else ""
    said = [f"{known['num_clips']} of {known['num_expected']} clips{length} ({known['clips']})"]
    if "codec" in known:
        said.append(f"codec {known['codec']} at {known['frame_rate']:g} steps a second")
    if "visual_fps" in known:
        said.append(f"{known['visual_fps']:g} frames a second")
    if "weights" in known:
        said.append(f"weights {known['weights']}")
    if sampling:
        given = (f"{name} {value:g}" for name, value in sampling.items() if value is not None)
        said.append(", ".join(given))
    said += [f"{name} {known[name]}" for name in ("seed", "device") if name in known]
    said.append(f"`{known['command']}`")
    if "transcribed_from" in document:
        said.append(f"transcribed from {document['transcribed_from']}")
    else:
        said.append(f"vab {known['vab']}, {known['date']}")
    return "; ".join(said)


def _scores(row: Document) -> list[str]:
    forms = {"class": ".1%", "loudness": ".2f", "brightness": ".2f"}
    return [_shown(row[name], forms.get(name, ".3f")) for name in _NUMBERS if name in row]


def _heads(row: Document) -> list[str]:
    """With the number of clips that each score comes from."""
    counts = row["num_clips"]
    return [
        f"{title} ({counts['f1' if name.startswith('f1') else name]} clips)"
        for name, title in _NUMBERS.items()
        if name in row
    ]


def _demo(documents: Sequence[Document]) -> Table:
    """All systems of one measurement, with what bounds them; of several measurements what was generated."""
    is_timed = any("seconds_a_clip" in document for document in documents)

    def cells(name: str, row: Document, document: Document) -> list[str]:
        is_shown = name == GENERATED and "seconds_a_clip" in document
        seconds = [f"{document['seconds_a_clip']:.1f}" if is_shown else ""] if is_timed else []
        label = name if len(documents) == 1 else Path(document["conditions"]["weights"]).stem
        return [label, *_scores(row), *seconds]

    systems = [
        (name, row, document)
        for document in documents
        for name, row in document["systems"].items()
        if len(documents) == 1 or name == GENERATED
    ]
    return Table(
        ["", *_heads(systems[0][1]), *["seconds"] * is_timed], [cells(*system) for system in systems]
    )


def _sweep(documents: Sequence[Document]) -> Table:
    rows = [row for document in documents for row in document["rows"]]
    cost = "seconds" if "seconds" in rows[0] else "passes"  # which earlier runs counted
    return Table(
        ["", cost, *_heads(rows[0])],
        [[_SWEPT[row["option"]].format(row["value"]), f"{row[cost]:.3g}", *_scores(row)] for row in rows],
    )


def ablated(rows: Sequence[Document]) -> Table:
    """What the models of an ablation have besides scores, under heads broken for a narrow screen."""
    columns = [
        (part, head, number)
        for part, head, number in _ABLATED
        if all(part in row and number(row[part]) is not None for row in rows)
    ]
    return Table(
        [head for _, head, _ in columns],
        [[f"{number(row[part]):.3f}" for part, _, number in columns] for row in rows],
    )


def _ablation(documents: Sequence[Document]) -> Table:
    rows = [row for document in documents for row in document["rows"]]
    more = ablated(rows)
    heads = [
        *(_heads(rows[0]) if "num_clips" in rows[0] else []),
        *(head.replace("\n", " ") for head in more.head),
    ]
    cells = zip(rows, more.rows, strict=True)
    return Table(
        ["", *heads], [[f"{row['what']} {row['value']}", *_scores(row), *others] for row, others in cells]
    )


def _refinement(documents: Sequence[Document]) -> Table:
    def cells(numbers: Document, metric: str, form: str) -> list[str]:
        share = numbers.get(f"{metric}_gap_closed")
        return [_shown(numbers[metric], form), _shown(share, ".0%")]

    return Table(
        ["", "log-mel distance, dB", "gap closed", "Frechet distance (MFCC)", "gap closed"],
        [
            [name, *cells(numbers, "log_mel", ".2f"), *cells(numbers, "fdm", ".0f")]
            for document in documents
            for name, numbers in document["systems"].items()
        ],
    )


def _tokens(documents: Sequence[Document]) -> Table:
    rows = []
    for document in documents:
        metrics = document["metrics"]
        for prefix, masked in (("all_masked/", "all codes masked"), ("", "the paper's mask ratios")):
            for name, form in (("loss", ".3f"), ("accuracy", ".2%")):
                values = (metrics[f"{prefix}{name}_{way}_vision"] for way in ("with", "without"))
                rows.append([f"{masked}: {name}", *(_shown(value, form) for value in values)])
    return Table(["", "with frames", "without"], rows)


def _retrieval(documents: Sequence[Document]) -> Table:
    rows = []
    for document in documents:
        for direction, found in document["metrics"].items():
            model = "" if direction == "chance" else f"{document['conditions']['weights']}: "
            recalls = [_shown(found[f"recall_{count}"], ".1%") for count in (1, 5, 10)]
            rows.append([model + direction, *recalls, _shown(found["median_rank"], "g")])
    return Table(["", "R@1", "R@5", "R@10", "median rank"], rows)


def _classification(documents: Sequence[Document]) -> Table:
    def cell(document: Document, name: str, form: str, scale: float) -> str:
        value, spread = (document[part].get(name) for part in ("mean", "standard_deviation"))
        return _shown(value, form) + (f" ± {scale * spread:.2g}" if spread else "")

    def cells(document: Document) -> list[str]:
        weights = document["conditions"].get("weights") or "nothing"
        accuracy = cell(document, "accuracy", ".1%", 100)
        precision = cell(document, "mean_average_precision", ".3f", 1)
        return [document["method"], weights, document["modality"], accuracy, precision]

    return Table(["", "from", "given", "accuracy", "mAP"], [cells(document) for document in documents])


def _codec(documents: Sequence[Document]) -> Table:
    rows = [row for document in documents for row in document["systems"]]
    folders = list(rows[0]["log_mel_distance"])
    forms = {"bits_per_second": ".0f", "tone_share": ".3f", "pitch_error_cents": ".0f"}

    def cells(row: Document) -> list[str]:
        numbers = (_shown(row[name], form) for name, form in forms.items())
        return [row["system"], *numbers, *(f"{row['log_mel_distance'][each]:.2f}" for each in folders)]

    distances = (f"log-mel, {Path(each).name}, dB" for each in folders)
    return Table(["", "bits/s", "tone share", "pitch error, cents", *distances], [cells(row) for row in rows])


def _speed(documents: Sequence[Document]) -> Table:
    def cells(document: Document, row: Document) -> list[str]:
        arithmetic = document["conditions"]["device"].split(", ")[-1]
        parameters = f"{row['parameters_millions']['all']:.1f} M"
        times = (
            f"{row['seconds']['median']:.3g}",
            f"{row['floor_seconds']:.3g}",
            f"{row['times_floor']:.2f}",
        )
        return [document["what"], row["model"], arithmetic, parameters, *times]

    return Table(
        ["", "", "arithmetic", "parameters", "s", "floor, s", "times the floor"],
        [cells(document, row) for document in documents for row in document["models"]],
    )


def _profile(documents: Sequence[Document]) -> Table:
    """Operations that take a hundredth or more of a run of any of the models, beside the others together."""
    runs = {}
    for document in documents:
        arithmetic = document["conditions"]["device"].split(", ")[-1]
        for model in document["models"]:
            runs[f"{document['what']}, {model['model']}, {arithmetic}"] = model["seconds"]
    shares = [{name: each / sum(run.values()) for name, each in run.items()} for run in runs.values()]
    shown = {name: None for share in shares for name, each in share.items() if each >= 0.01}
    rows = [[f"`{name}`", *(_shown(share.get(name), ".1%") for share in shares)] for name in shown]
    others = [_shown(1 - sum(share.get(name, 0) for name in shown), ".1%") for share in shares]
    return Table(["operation", *runs], [*rows, ["others", *others]])


def _extraction(documents: Sequence[Document]) -> Table:
    def cells(document: Document) -> list[str]:
        rates = (f"{rate:.2f}" for rate in document["clips_a_second"].values())
        shares = (_shown(share, ".0%") for share in document["share_of"].values())
        return [document["conditions"]["device"], *rates, *shares]

    first = documents[0]
    return Table(
        ["", *first["clips_a_second"], *(f"share of {name}" for name in first["share_of"])],
        [cells(document) for document in documents],
    )


def _index(documents: Sequence[Document]) -> Table:
    rows = [row for document in documents for row in document["rows"]]
    return Table(list(INDEX_COLUMNS), [[shown(row) for shown in INDEX_COLUMNS.values()] for row in rows])


def _layout(documents: Sequence[Document]) -> Table:
    return Table(
        ["an event", "so without the edit", "followed"],
        [
            [name, *(_shown(row[when], ".0%") for when in ("before", "after"))]
            for document in documents
            for name, row in document["edits"].items()
        ],
    )


def _curation(documents: Sequence[Document]) -> Table:
    rows = [row for document in documents for row in document["rows"]]

    def cells(row: Document) -> list[str]:
        least = "all clips" if row["min_similarity"] is None else f"{row['min_similarity']:g} and more"
        found = (_shown(row[name], ".1%") for name in ("precision", "recall"))
        return [least, str(row["num_kept"]), *found, *_scores(row)]

    return Table(
        ["similarity", "clips kept", "precision of what is left out", "recall", *_heads(rows[0])],
        [cells(row) for row in rows],
    )


_TABLES: dict[str, Callable[[Sequence[Document]], Table]] = {
    "demo": _demo,
    "layout": _layout,
    "curation": _curation,
    "sweep": _sweep,
    "ablation": _ablation,
    "refinement": _refinement,
    "tokens": _tokens,
    "retrieval": _retrieval,
    "codec": _codec,
    "classification": _classification,
    "speed": _speed,
    "profile": _profile,
    "extraction": _extraction,
    "index": _index,
}
