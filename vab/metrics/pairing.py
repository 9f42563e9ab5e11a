"""Which generated file belongs to which true one, and what is wrong with either: never repaired, always told."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vab import media
from vab.errors import ManifestError, MediaError, describe
from vab.features.manifest import MEDIA_SUFFIXES, Clip, load_manifest
from vab.metrics.loudness import loudness
from vab.shapes import Float, Tensor

LENGTH_TOLERANCE = 0.1
"""Seconds by which a sound may be longer or shorter than its clip: a codec's last step, a container's last block."""

SHORTEST_SECONDS = 0.1
"""Below this a clip has no spectrum to compare: the windows of the metrics reach from 32 to 128 ms."""

Kind = Literal[
    "missing",
    "extra",
    "ambiguous",
    "unreadable",
    "empty",
    "too short",
    "silent",
    "not finite",
    "overloaded",
    "wrong length",
    "wrong rate",
    "not measured",
]
Side = Literal["generated", "reference"]
UNMEASURABLE = {"unreadable", "empty", "too short", "not finite"}
"""Kinds of problem with a file of which nothing can be measured."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file of one clip."""

    id: str
    kind: Kind
    side: Side
    detail: str = ""


@dataclass(frozen=True)
class Pair:
    """A generated sound and the clip it was made for, whose duration is known once the pair has been inspected."""

    id: str
    generated: Path
    reference: Clip


@dataclass(frozen=True)
class Inspection:
    """What decoding both sides of a pair showed."""

    pair: Pair | None
    """With the length of its clip; None where it cannot be measured."""
    problems: tuple[Problem, ...]
    id: str
    sample_rate: int | None
    """Of the generated file as stored."""


@dataclass(frozen=True)
class Pairing:
    """What can be measured, and what is wrong."""

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]
    num_expected: int
    """Clips of the list, or of the reference folder where there is no list."""


class PairedSound:
    """Both sounds of a pair at any rate, cut or filled with silence to the length of the true clip."""

    def __init__(self, pair: Pair) -> None:
        assert pair.reference.duration is not None, "inspected pairs have a length"
        self.pair = pair
        self.seconds = pair.reference.duration
        self._read: dict[tuple[Side, int], Tensor] = {}

    def generated(self, sample_rate: int) -> Float[Tensor, "1 L"]:
        """The generated sound, mono."""
        return self._sound("generated", self.pair.generated, 0.0, sample_rate)

    def reference(self, sample_rate: int) -> Float[Tensor, "1 L"]:
        """The true sound, mono; it never went through a codec."""
        return self._sound("reference", self.pair.reference.path, self.pair.reference.start, sample_rate)

    def both(self, sample_rate: int) -> tuple[Float[Tensor, "1 L"], Float[Tensor, "1 L"]]:
        """The generated and the true sound."""
        return self.generated(sample_rate), self.reference(sample_rate)

    def of_frames(self, see: Callable[..., Tensor]) -> Tensor | None:
        """``see(path, start=..., duration=...)`` of the true clip; None where its frames cannot be read."""
        clip = self.pair.reference
        try:
            return see(clip.path, start=clip.start, duration=self.seconds)
        except MediaError:
            return None

    def _sound(self, side: Side, path: Path, start: float, sample_rate: int) -> Tensor:
        key = (side, sample_rate)
        if key not in self._read:
            self._read[key] = media.read_audio(path, sample_rate, start=start, duration=self.seconds)
        return self._read[key]


def find_pairs(
    generated: Path, reference: Path, *, wanted: Path | None = None, split: str | None = None
) -> Pairing:
    """Pair the media files below two folders by file name without its ending.

    Args:
        generated: folder of generated sound or video.
        reference: folder of the true clips.
        wanted: a list of the clips to compare, in any format of ``vab extract``, or one id a line or in a column
            ``id``. Without it every clip of ``reference``. Files of ``generated`` that are not wanted are ``extra``.
        split: of a list that has splits, the one to compare; None: all.

    Raises:
        ManifestError: a folder is absent or the list cannot be read.
    """
    ours, theirs = files_by_id(generated), files_by_id(reference)
    clips: dict[str, Clip | None] = {name: Clip(name, paths[0]) for name, paths in theirs.items()}
    if wanted is not None:
        clips = _listed(wanted, split, reference, theirs)
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for name, clip in clips.items():
        files: dict[Side, list[Path]] = {"generated": ours.get(name, []), "reference": theirs.get(name, [])}
        is_there = {"generated": bool(files["generated"]), "reference": clip is not None}
        for side, paths in files.items():
            if not is_there[side]:
                problems.append(Problem(name, "missing", side))
            elif len(paths) > 1:
                problems.append(Problem(name, "ambiguous", side, ", ".join(path.name for path in paths)))
        if clip is not None and len(files["generated"]) == 1 and len(files["reference"]) <= 1:
            pairs.append(Pair(name, files["generated"][0], clip))
    problems += [Problem(name, "extra", "generated") for name in ours if name not in clips]
    return Pairing(tuple(pairs), tuple(problems), len(clips))


def inspect(pair: Pair) -> Inspection:
    """Decode both sides once; what is damaged in a way that decoding would repair cannot be measured."""
    problems: list[Problem] = []
    looks: dict[Side, _Look] = {}
    sides: dict[Side, Clip] = {"reference": pair.reference, "generated": Clip(pair.id, pair.generated)}
    for side, clip in sides.items():
        try:
            looks[side] = _look(clip)
        except Exception as error:
            # Whatever it is, memory included: this file's failure and not that of all the others.
            is_empty = clip.path.is_file() and clip.path.stat().st_size == 0
            problems.append(Problem(pair.id, "empty" if is_empty else "unreadable", side, describe(error)))
        else:
            problems += [Problem(pair.id, kind, side, detail) for kind, detail in looks[side].problems]
    rate = looks["generated"].sample_rate if "generated" in looks else None
    if not UNMEASURABLE.isdisjoint(problem.kind for problem in problems):
        return Inspection(None, tuple(problems), pair.id, rate)
    ours, theirs = looks["generated"].seconds, looks["reference"].seconds
    # Sound that was generated for a video lasts as long as its frames, which need not be as long as the true sound.
    right = [theirs] if pair.reference.duration else [theirs, looks["reference"].file_seconds]
    if min(abs(ours - seconds) for seconds in right) > LENGTH_TOLERANCE:
        detail = f"{ours:.2f} s, its clip {theirs:.2f} s"
        problems.append(Problem(pair.id, "wrong length", "generated", detail))
    measurable = replace(pair, reference=replace(pair.reference, duration=theirs))
    return Inspection(measurable, tuple(problems), pair.id, rate)


@dataclass(frozen=True)
class _Look:
    sample_rate: int
    seconds: float
    """Of the sound."""
    file_seconds: float
    """From the clip's start to the end of its frames, or of the sound where there are none."""
    problems: list[tuple[Kind, str]]


def _look(clip: Clip) -> _Look:
    info = media.probe(clip.path).require_audio()
    assert info.audio is not None
    rate = info.audio.sample_rate
    waveform = media.read_audio(clip.path, rate, start=clip.start, duration=clip.duration)
    faults = media.find_sample_faults(clip.path, start=clip.start, duration=clip.duration)
    seconds = waveform.shape[1] / rate
    problems: list[tuple[Kind, str]] = []
    if not waveform.numel():
        problems.append(("empty", "no samples"))
    elif seconds < SHORTEST_SECONDS:
        problems.append(("too short", f"{seconds:.3f} s, less than {SHORTEST_SECONDS:g} s"))
    elif loudness(waveform, rate).is_silent:
        problems.append(("silent", ""))
    if faults.num_not_finite:
        problems.append(("not finite", f"{faults.num_not_finite:,} samples"))
    if faults.num_overloaded:
        most = f"up to {20 * math.log10(faults.peak):.1f} dB over full scale"
        problems.append(("overloaded", f"{faults.num_overloaded:,} samples, {most}; measured clipped"))
    return _Look(rate, seconds, info.duration - clip.start, problems)


def unusual_rates(inspections: Sequence[Inspection]) -> list[Problem]:
    """Generated files whose rate is not that of most."""
    rates = Counter(each.sample_rate for each in inspections if each.sample_rate is not None)
    usual = max(rates, key=rates.__getitem__, default=None)
    return [
        Problem(each.id, "wrong rate", "generated", f"{each.sample_rate} Hz, most have {usual} Hz")
        for each in inspections
        if each.sample_rate not in (None, usual)
    ]


def files_by_id(folder: Path) -> dict[str, list[Path]]:
    """Media files at any depth by file name without its ending, sorted; hidden ones left out."""
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".") and path.is_file():
            files.setdefault(path.stem, []).append(path)
    if not files:
        raise ManifestError(f"{folder}: holds no video or sound files")
    return files


def _listed(
    wanted: Path, split: str | None, folder: Path, files: dict[str, list[Path]]
) -> dict[str, Clip | None]:
    """Clips of a list by id; None where there is no reference file for one."""
    rows = _read_rows(wanted)
    header = rows[0] if rows else []
    if "id" in header and "path" not in header:
        place = header.index("id")
        ids = [row[place] for row in rows[1:] if len(row) > place]
    elif all(len(row) == 1 for row in rows):
        ids = [row[0] for row in rows]
    else:
        # A CSV with paths says where its files are, from its own place on; YouTube lists do not.
        manifest = load_manifest(wanted, media_root=None if "path" in header else folder)
        clips = {clip.id: clip for clip in manifest.clips if split in (None, clip.split)}
        return {**dict.fromkeys(manifest.missing), **clips}
    if not ids:
        raise ManifestError(f"{wanted}: lists no clips")
    return {name: Clip(name, files[name][0]) if name in files else None for name in ids}


def _read_rows(wanted: Path) -> list[list[str]]:
    try:
        with wanted.open(encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{wanted}: cannot be read as a list of clips ({error})") from error
    return [row for row in rows if any(row) and not row[0].startswith("#")]
