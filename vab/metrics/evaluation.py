"""Generated sound against true sound, a folder against a folder: every number, every clip, everything wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from scipy.stats import sem

from vab.errors import MediaError, VABError, describe
from vab.metrics.loudness import Loudness, loudness
from vab.metrics.pairing import Inspection, Pair, PairedSound, Problem, find_pairs, inspect, unusual_rates
from vab.metrics.scorer import SOUND_RATE, Column, Scorer

OnProblem = Literal["refuse", "count"]


class EvaluationError(VABError):
    """Files that cannot be compared, all of them in ``problems``."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Number:
    """One metric over the whole set."""

    value: float
    column: Column
    num_clips: int
    """That it was measured on."""
    interval: float | None
    """Half width of the 95 % interval of a mean over clips; None for numbers of the set."""


@dataclass(frozen=True)
class ClipReport:
    """One clip."""

    pair: Pair
    numbers: dict[str, float]
    loudness: Loudness
    """Of the generated sound."""
    loudness_of_truth: Loudness


@dataclass(frozen=True)
class Report:
    """Everything an evaluation found."""

    numbers: dict[str, Number]
    clips: tuple[ClipReport, ...]
    problems: tuple[Problem, ...]
    num_expected: int
    settings: dict[str, Any]
    warnings: tuple[str, ...]


def evaluate(
    generated: Path,
    reference: Path,
    scorers: Sequence[Scorer],
    *,
    wanted: Path | None = None,
    split: str | None = None,
    on_problem: OnProblem = "refuse",
    on_step: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Pair two folders, look at every file, measure every pair.

    Args:
        generated: folder of generated sound or video.
        reference: folder of the true clips.
        scorers: fresh ones, since a set's numbers gather in them.
        wanted: list of the clips to compare; default: all of ``reference``.
        split: of that list.
        on_problem: ``refuse`` to measure anything while any file has a problem; ``count`` the problems, measure what
            can be measured and say of how many. Nothing is ever put in another file's place.
        on_step: called with what is being done, how much of it is done, and how much there is.

    Raises:
        EvaluationError: a problem and ``refuse``, or nothing that can be measured; it holds all problems.
        ManifestError: a folder or the list cannot be read.
    """
    tell = on_step or (lambda stage, done, total: None)
    pairing = find_pairs(generated, reference, wanted=wanted, split=split)
    inspections: list[Inspection] = []
    for pair in pairing.pairs:
        inspections.append(inspect(pair))
        tell("looking", len(inspections), len(pairing.pairs))
    found = [problem for each in inspections for problem in each.problems]
    problems = [*pairing.problems, *found, *unusual_rates(inspections)]
    measurable = [each.pair for each in inspections if each.pair is not None]
    clips: list[ClipReport] = []
    counts: Counter[Scorer] = Counter()
    for done, pair in enumerate(measurable, start=1):
        if problems and on_problem == "refuse":
            break
        clip, failures = _measure(pair, scorers, counts)
        problems += failures
        if clip is not None:
            clips.append(clip)
        tell("measuring", done, len(measurable))
    if problems and (on_problem == "refuse" or not clips):
        can_measure = on_problem == "refuse" and bool(measurable)
        raise EvaluationError(_one_line(problems, pairing.num_expected, can_measure), problems)
    return Report(
        numbers=_numbers(scorers, counts, clips),
        clips=tuple(clips),
        problems=tuple(problems),
        num_expected=pairing.num_expected,
        settings={name: value for scorer in scorers for name, value in scorer.settings().items()},
        warnings=tuple(warning for scorer in scorers for warning in scorer.warnings()),
    )


def _measure(
    pair: Pair, scorers: Sequence[Scorer], counts: Counter[Scorer]
) -> tuple[ClipReport | None, list[Problem]]:
    """One clip by every scorer that can, which ``counts`` adds up; what fails is this clip's problem alone."""
    sound = PairedSound(pair)
    numbers: dict[str, float] = {}
    problems: list[Problem] = []
    try:
        levels = [loudness(each, SOUND_RATE) for each in sound.both(SOUND_RATE)]
    except Exception as error:
        return None, [Problem(pair.id, "not measured", "generated", describe(error))]
    for scorer in scorers:
        try:
            numbers |= scorer.add(sound)
        except Exception as error:
            # What is wrong with the weights or the options is wrong with every clip.
            if isinstance(error, VABError) and not isinstance(error, MediaError):
                raise
            detail = f"{type(scorer).__name__}: {describe(error)}"
            problems.append(Problem(pair.id, "not measured", "generated", detail))
        else:
            counts[scorer] += 1
    return (None if len(problems) == len(scorers) else ClipReport(pair, numbers, *levels)), problems


def _numbers(
    scorers: Sequence[Scorer], counts: Mapping[Scorer, int], clips: Sequence[ClipReport]
) -> dict[str, Number]:
    numbers: dict[str, Number] = {}
    for scorer in scorers:
        if not counts[scorer]:
            continue
        of_set = scorer.of_set()
        for name, column in scorer.columns.items():
            values = [clip.numbers[name] for clip in clips if name in clip.numbers]
            if name in of_set:
                numbers[name] = Number(of_set[name], column, counts[scorer], None)
            elif values:
                numbers[name] = Number(fmean(values), column, len(values), _interval(values))
    return numbers


def _interval(values: Sequence[float]) -> float | None:
    """Half width by the normal approximation: clips are the sample."""
    return 1.96 * float(sem(values)) if len(values) > 1 else None


def _one_line(problems: Sequence[Problem], num_expected: int, can_measure: bool) -> str:
    counts = Counter(f"{problem.kind} ({problem.side})" for problem in problems)
    all_kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    first = ", ".join(filter(None, (problems[0].kind, problems[0].detail)))
    remedy = (
        "mend them, or measure the rest with --on-problem count" if can_measure else "no clip can be measured"
    )
    return f"of {num_expected} clips: {all_kinds}; first: {problems[0].id}: {first}; {remedy}"
