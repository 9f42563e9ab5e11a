"""``vab evaluate generation``: generated sound against true sound, as a table, a JSON and a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

import vab
from tasks.console import console, progress_bar, say
from tasks.evaluation.options import GenerationOptions
from tasks.evaluation.page import write_page
from tasks.options import command_line
from vab.classification import Classifier
from vab.codecs import load_codec
from vab.device import choose_device
from vab.files import check_outputs, write_atomically
from vab.generation import settings_file
from vab.metrics.clap import Clap
from vab.metrics.evaluation import EvaluationError, Report, evaluate
from vab.metrics.imagebind import ImageBind
from vab.metrics.joint import ClapScorer, ImageBindScorer, SynchronyScorer, Wav2ClipScorer
from vab.metrics.pairing import Problem
from vab.metrics.panns import PannsTagger
from vab.metrics.passt import PasstTagger
from vab.metrics.scorer import Scorer
from vab.metrics.scorers import (
    AgreementScorer,
    CepstrumScorer,
    ClassScorer,
    CodecScorer,
    EventScorer,
    OnsetScorer,
    SpectrumScorer,
    TaggerScorer,
    VGGishScorer,
)
from vab.metrics.synchformer import Synchformer
from vab.metrics.vggish import VGGishFeatures
from vab.metrics.wav2clip import Wav2Clip
from vab.provenance import made_with
from vab.visual import load_encoder
from vab.weights import find, sha256_of

_SHOWN_PROBLEMS = 20
_CLIP = "ViT-B-32-quickgelu"
"""open_clip's name of the network whose frames Wav2CLIP was trained to meet."""
_COMMON_SETTINGS = ("weights", "weights_sha256", "seed", "sampling", "components", "sample_rate", "vab")
_TRUSTED_RANKS = ("odf_dtw", "multi_stft")
"""The metrics of single clips that put truth first, another clip's sound last, and every published system between:
see "On published systems" in the metrics' README."""


def run(options: GenerationOptions) -> int:
    """Print a table, write JSON and page; the problems are in the JSON even where the run is refused."""
    page = options.output.with_suffix(".html")
    folders = [folder for folder in (options.generated, options.reference) if folder.is_dir()]
    files = [file for folder in folders for file in folder.rglob("*")]
    check_outputs([options.output, page], files)
    scorers = _scorers(options)
    rank_by = _rank(options.rank_by, {name for scorer in scorers for name in scorer.columns})
    with progress_bar("clips") as progress:
        bars: dict[str, Any] = {}

        def on_step(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done)

        try:
            report = evaluate(
                options.generated,
                options.reference,
                scorers,
                wanted=options.list,
                split=options.split,
                on_problem=options.on_problem,
                on_step=on_step,
            )
        except EvaluationError as error:
            document = {**_provenance(options), "problems": [asdict(problem) for problem in error.problems]}
            _write(options.output, document)
            progress.stop()
            _show_problems(error.problems)
            raise
    _write(options.output, _document(options, report))
    write_page(page, report, rank_by=rank_by)
    _show(report)
    _show_problems(report.problems)
    for name, licence in _licences(options).items():
        say(f"measured with {name}, licence {licence}")
    say(f"{options.output}, {page}")
    return 0


def _scorers(options: GenerationOptions) -> list[Scorer]:
    if options.clip is not None and options.wav2clip is None:
        raise ValueError("--clip: the frames' half of Wav2CLIP's space; give --wav2clip too")
    onsets = {"threshold": options.onset_threshold, "window": options.onset_window}
    families: dict[str, Callable[[], Scorer]] = {
        "onsets": lambda: OnsetScorer(**onsets),
        "events": lambda: EventScorer(**onsets),
        "spectra": SpectrumScorer,
        "cepstra": CepstrumScorer,
    }
    scorers: list[Scorer] = [families[name]() for name in dict.fromkeys(options.metrics)]
    device = choose_device(options.device)
    networks: dict[str, Callable[[str], Scorer]] = {
        "codec": lambda name: CodecScorer(load_codec(name, device=device)),
        "contrastive": lambda name: AgreementScorer(vab.load(name, device=device)),
        "classifier": lambda name: ClassScorer(Classifier.load(name, device=device)),
        "vggish": lambda name: VGGishScorer(VGGishFeatures(name, device=device)),
        "panns": lambda name: TaggerScorer("panns", PannsTagger(name, device=device)),
        "passt": lambda name: TaggerScorer("passt", PasstTagger(name, device=device)),
        "clap": lambda name: ClapScorer(Clap(name, device=device)),
        "imagebind": lambda name: ImageBindScorer(ImageBind(name, device=device)),
        "synchformer": lambda name: SynchronyScorer(Synchformer(name, device=device)),
    }
    weights = {name: getattr(options, name) for name in networks}
    scorers += [networks[name](given) for name, given in weights.items() if given is not None]
    if options.wav2clip is not None:
        encoder = None if options.clip is None else load_encoder(_CLIP, weights=options.clip, device=device)
        scorers.append(Wav2ClipScorer(Wav2Clip(options.wav2clip, device=device), encoder))
    return scorers


def _rank(asked: str | None, measured: set[str]) -> str | None:
    """What the page ranks by; None: nothing, since neither was anything asked for nor anything trusted measured."""
    if asked is None:
        return next((name for name in _TRUSTED_RANKS if name in measured), None)
    if asked not in measured:
        raise ValueError(f"--rank-by {asked}: not measured here; there are: {', '.join(sorted(measured))}")
    return asked


def _document(options: GenerationOptions, report: Report) -> dict[str, Any]:
    lengths = [clip.pair.reference.duration or 0.0 for clip in report.clips]
    return {
        "metrics": {
            name: {"value": number.value, "clips": number.num_clips, "interval_95": number.interval}
            | asdict(number.column)
            for name, number in report.numbers.items()
        },
        "clips_expected": report.num_expected,
        "clips_measured": len(report.clips),
        "clip_seconds": {"shortest": min(lengths), "median": median(lengths), "longest": max(lengths)},
        "warnings": report.warnings,
        **_provenance(options),
        **report.settings,
        "generation": _common_settings([clip.pair.generated for clip in report.clips]),
        "problems": [asdict(problem) for problem in report.problems],
        "clips": [
            {
                "id": clip.pair.id,
                "generated": str(clip.pair.generated),
                "reference": str(clip.pair.reference.path),
                "numbers": clip.numbers,
                "loudness": asdict(clip.loudness),
                "loudness_of_truth": asdict(clip.loudness_of_truth),
            }
            for clip in report.clips
        ],
    }


def _provenance(options: GenerationOptions) -> dict[str, Any]:
    return {
        "weights_licences": _licences(options),
        "list": options.list.name if options.list else None,
        "list_sha256": sha256_of(options.list) if options.list else None,
        "split": options.split,
        "on_problem": options.on_problem,
        "command": command_line("evaluate generation", options),
        "device": choose_device(options.device),
        **made_with(),
    }


def _licences(options: GenerationOptions) -> dict[str, str]:
    """Of the published weights that were measured with, where they are named and not files.

    ImageBind's and Synchformer's in any case: they forbid commercial use, wherever the file came from.
    """
    weights = [options.codec, options.vggish, options.panns, options.passt, options.wav2clip]
    weights += [name for name in ("imagebind", "synchformer") if getattr(options, name) is not None]
    named = [find(each) for each in weights if each]
    return {entry.name: entry.licence for entry in named if entry}


def _common_settings(generated: Sequence[Path]) -> dict[str, Any]:
    """What the JSON beside the generated files says, where all say the same; a list of values where they differ."""
    found: dict[str, set[str]] = {}
    for path in generated:
        try:
            settings = json.loads(settings_file(path).read_text())
        except (OSError, ValueError):
            continue
        for name in _COMMON_SETTINGS:
            if isinstance(settings, dict) and name in settings:
                found.setdefault(name, set()).add(json.dumps(settings[name], sort_keys=True))
    said = {name: [json.loads(each) for each in sorted(values)] for name, values in found.items()}
    return {name: values[0] if len(values) == 1 else values for name, values in said.items()}


def _write(path: Path, document: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def _show(report: Report) -> None:
    table = Table(
        title=f"{len(report.clips)} of {report.num_expected} clips", title_justify="left", show_edge=False
    )
    for column in ("", "better", "value", "±", "unit", "clips"):
        table.add_column(column, justify="right" if column in ("value", "±", "clips") else "left")
    for name, number in report.numbers.items():
        table.add_row(
            name,
            "higher" if number.column.higher_is_better else "lower",
            f"{number.value:.4g}",
            "" if number.interval is None else f"{number.interval:.2g}",
            number.column.unit,
            str(number.num_clips),
        )
    console.print(table)
    num_silent = sum(clip.loudness.is_silent for clip in report.clips)
    levels = [clip.loudness.rms_db - clip.loudness_of_truth.rms_db for clip in report.clips]
    console.print(
        f"level against the truth: {median(levels):+.1f} dB in the median; silent clips: {num_silent}"
    )
    for warning in report.warnings:
        say(f"beware: {warning}")


def _show_problems(problems: Sequence[Problem]) -> None:
    if not problems:
        return
    counts = Counter(problem.kind for problem in problems)
    title = "problems: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    table = Table("clip", "", "of the", "", title=title, title_justify="left", show_edge=False)
    for problem in problems[:_SHOWN_PROBLEMS]:
        table.add_row(problem.id, problem.kind, problem.side, problem.detail)
    console.print(table)
    if len(problems) > _SHOWN_PROBLEMS:
        console.print(f"and {len(problems) - _SHOWN_PROBLEMS} more, in the JSON")
