"""Lists of clips in the datasets' own formats: a folder, a CSV, VGGSound's, AudioSet's, ESC-50's, Speech Commands'.

The format is told from the content, and every format becomes the same list of :class:`Clip`.
"""

from __future__ import annotations

import csv
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from vab.errors import ManifestError
from vab.media import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)

Format = Literal["auto", "folder", "classes", "csv", "vggsound", "audioset", "esc50", "speechcommands"]
YOUTUBE_CLIP_SECONDS = 10.0
"""Length of every clip of VGGSound and AudioSet."""
MEDIA_SUFFIXES = VIDEO_SUFFIXES | {
    f".{name}" for name in ["aac", "aiff", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav", "wma"]
}
ESC50_META = Path("meta") / "esc50.csv"
ESC50_COLUMNS = {"filename", "fold", "category"}
SPEECH_COMMANDS_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


@dataclass(frozen=True)
class Clip:
    """One stretch of one file, with what is known about it."""

    id: str
    """Unique in a store."""
    path: Path
    start: float = 0.0
    """Seconds into the file."""
    duration: float | None = None
    """Seconds; None = to the end of the file."""
    split: str = ""
    labels: tuple[str, ...] = ()
    caption: str = ""
    may_be_cut: bool = False
    """True where the file may already be this clip rather than the video it was cut from: its length tells."""


@dataclass(frozen=True)
class Manifest:
    """The clips of a list whose files are there, and the ids of those whose files are not."""

    format: Format
    clips: tuple[Clip, ...]
    missing: tuple[str, ...] = ()


def read_manifest(path: Path, *, media_root: Path | None = None, format: Format = "auto") -> list[Clip]:
    """The clips of a folder, a media file or a manifest; those without a file are counted in the log.

    Args:
        path: a media file, a folder (searched throughout; one with ``meta/esc50.csv`` is ESC-50, one with
            ``testing_list.txt`` Speech Commands) or a CSV.
        media_root: where the files lie; default: next to the manifest.
        format: ``auto`` tells it from the content; ``classes``, a folder with a folder a class, has to be said.

    Raises:
        ManifestError: names the file and the line.
    """
    manifest = load_manifest(path, media_root=media_root, format=format)
    if manifest.missing:
        logger.warning(
            "%s: %d of %d clips have no file (first: %s)",
            path,
            len(manifest.missing),
            len(manifest.missing) + len(manifest.clips),
            manifest.missing[0],
        )
    return list(manifest.clips)


def load_manifest(path: Path, *, media_root: Path | None = None, format: Format = "auto") -> Manifest:
    """``read_manifest`` with the format that was found and the ids whose files are missing."""
    # A store remembers where its clips came from; that should hold from any folder.
    path, media_root = Path(path).absolute(), media_root and media_root.absolute()
    if format not in get_args(Format):
        raise ManifestError(f"{path}: format {format!r} is none of {', '.join(get_args(Format))}")
    if path.is_dir() and format in ("auto", "esc50") and (path / ESC50_META).is_file():
        path = path / ESC50_META
    if not path.exists():
        raise ManifestError(f"{path}: no such file or folder")
    if path.is_dir():
        return _read_any_folder(path, format)
    if path.suffix.lower() not in (".csv", ".txt", ".tsv"):
        return Manifest("folder", (Clip(id=path.stem, path=path),))
    table = _Table.read(path)
    found = _detect(table) if format == "auto" else format
    if found not in _READERS:
        raise ManifestError(f"{path}: is a file, not a folder")
    clips, missing = _READERS[found](table, media_root)
    return Manifest(found, tuple(clips), tuple(missing))


def merge(manifests: Iterable[Manifest]) -> Manifest:
    """Several lists as one.

    Raises:
        ManifestError: two clips with one id.
    """
    manifests = list(manifests)
    clips = tuple(clip for manifest in manifests for clip in manifest.clips)
    missing = tuple(name for manifest in manifests for name in manifest.missing)
    formats = {manifest.format for manifest in manifests}
    paths: dict[str, Path] = {}
    for clip in clips:
        if clip.id in paths:
            raise ManifestError(
                f"{clip.path}: its id {clip.id!r} is also that of {paths[clip.id]}; use a CSV with ids"
            )
        paths[clip.id] = clip.path
    return Manifest(formats.pop() if len(formats) == 1 else "auto", clips, missing)


@dataclass(frozen=True)
class _Table:
    """A CSV without its comment and empty lines; each row with its line number."""

    path: Path
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    @classmethod
    def read(cls, path: Path) -> _Table:
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        rows = []
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                # AudioSet puts a space after its commas, before the quote.
                reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
                for cells in reader:
                    row = tuple(cell.strip() for cell in cells)
                    if any(row) and not row[0].startswith("#"):
                        rows.append((reader.line_num, row))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ManifestError(f"{path}: cannot be read as a CSV ({error})") from error
        if not rows:
            raise ManifestError(f"{path}: holds no clips")
        return cls(path, tuple(rows))

    def error(self, line: int, reason: str) -> ManifestError:
        return ManifestError(f"{self.path}:{line}: {reason[:500]}")

    def number(self, line: int, text: str, name: str) -> float:
        """A cell as a finite number of at least 0."""
        try:
            value = float(text)
        except ValueError:
            raise self.error(line, f"{name} {text!r} is not a number") from None
        if not 0 <= value < float("inf"):
            raise self.error(line, f"{name} {text!r} is not a time in seconds")
        return value

    def cells(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows after the header, each with its line number, by column."""
        header = self.rows[0][1]
        for line, row in self.rows[1:]:
            if len(row) != len(header):
                raise self.error(line, f"{len(row)} cells, the header has {len(header)}")
            yield line, dict(zip(header, row, strict=True))

    def fours(self, format: str) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The rows of a list of YouTube clips, each with its line number."""
        for line, row in self.rows:
            if len(row) != 4:
                raise self.error(line, f"{len(row)} cells, {format}")
            yield line, row

    def present(self, clips: dict[int, Clip]) -> tuple[list[Clip], list[str]]:
        """Clips by their lines: those with a file, and the ids of the others; no id twice."""
        self.check_unique((line, clip.id) for line, clip in clips.items())
        # Unlike Path.is_file, False for a name that no file can have.
        missing = {clip.id for clip in clips.values() if not os.path.isfile(clip.path)}  # noqa: PTH113
        found = [clip for clip in clips.values() if clip.id not in missing]
        return found, [clip.id for clip in clips.values() if clip.id in missing]

    def check_unique(self, ids: Iterable[tuple[int, str]]) -> None:
        lines: dict[str, int] = {}
        for line, name in ids:
            if name in lines:
                raise self.error(line, f"id {name!r} was used in line {lines[name]} already")
            lines[name] = line


def _detect(table: _Table) -> Format:
    header = set(table.rows[0][1])
    if header >= ESC50_COLUMNS:
        return "esc50"
    if "path" in header:
        return "csv"
    line, row = table.rows[0]
    if len(row) == 4 and _is_number(row[1]):
        return "audioset" if _is_number(row[2]) else "vggsound"
    raise table.error(
        line,
        "neither a header with a `path` column, nor a row of VGGSound (youtube_id,start,label,split) "
        "or AudioSet (YTID, start, end, labels)",
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_any_folder(folder: Path, format: Format) -> Manifest:
    if format == "speechcommands" or (
        format == "auto" and all((folder / name).is_file() for name in SPEECH_COMMANDS_LISTS.values())
    ):
        return _read_speech_commands(folder)
    if format == "classes":
        return _read_classes(folder)
    if format in ("auto", "folder"):
        return _read_folder(folder)
    raise ManifestError(f"{folder}: is a folder, not a list in the format {format}")


def _read_folder(folder: Path) -> Manifest:
    """All media below a folder; an id is the path without its ending, unless two files share that."""
    paths = media_below(folder)
    if not paths:
        raise ManifestError(f"{folder}: holds no video or sound files")
    names = [path.relative_to(folder) for path in paths]
    stems = [name.with_suffix("").as_posix() for name in names]
    count = Counter(stems)
    ids = [stem if count[stem] == 1 else name.as_posix() for stem, name in zip(stems, names, strict=True)]
    return Manifest("folder", tuple(map(Clip, ids, paths)))


def _read_classes(folder: Path) -> Manifest:
    """``<class>/<file>`` or ``<split>/<class>/<file>``: the folder that holds a file is its label."""
    clips = []
    for clip in _read_folder(folder).clips:
        *above, label = clip.path.relative_to(folder).parts[:-1] or ("",)
        if not label or len(above) > 1:
            raise ManifestError(f"{clip.path}: lies neither in <class>/ nor in <split>/<class>/ of {folder}")
        clips.append(replace(clip, labels=(label,), split="".join(above)))
    return Manifest("classes", tuple(clips))


def _read_speech_commands(folder: Path) -> Manifest:
    """``<word>/<file>.wav`` with lists of the test and the validation files; the rest is ``train`` (Warden, 2018).

    The background noise, minutes of no word, is left out.
    """
    split_of: dict[str, str] = {}
    for split, name in SPEECH_COMMANDS_LISTS.items():
        try:
            lines = (folder / name).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{folder / name}: cannot be read ({error})") from error
        split_of |= dict.fromkeys(lines, split)
    clips = []
    for path in media_below(folder):
        inside = path.relative_to(folder)
        if len(inside.parts) == 2 and not inside.parts[0].startswith("_"):
            name, split = inside.with_suffix("").as_posix(), split_of.pop(inside.as_posix(), "train")
            clips.append(Clip(name, path, split=split, labels=inside.parts[:1]))
    return Manifest("speechcommands", tuple(clips), tuple(sorted(split_of)))


def media_below(folder: Path) -> list[Path]:
    """Video and sound files at any depth, sorted, hidden ones left out; no file is looked at by itself."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if Path(name).suffix.lower() in MEDIA_SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)


def _read_csv(table: _Table, media_root: Path | None) -> tuple[list[Clip], list[str]]:
    """Columns by name, only ``path`` is needed; paths are relative to ``media_root`` or the CSV."""
    root = media_root or table.path.parent
    if "path" not in table.rows[0][1]:
        raise table.error(table.rows[0][0], "no `path` column")
    clips = {}
    for line, row in table.cells():
        cell = {name: text for name, text in row.items() if text}
        if "path" not in cell:
            raise table.error(line, "empty path")
        duration = table.number(line, cell["duration"], "duration") if "duration" in cell else None
        if duration == 0:
            raise table.error(line, "duration 0")
        labels = [label.strip() for label in cell.get("labels", "").split("|") if label.strip()]
        if "label" in cell and cell["label"] not in labels:
            labels.insert(0, cell["label"])
        clips[line] = Clip(
            id=cell.get("id") or Path(cell["path"]).with_suffix("").as_posix(),
            path=root / cell["path"],
            start=table.number(line, cell.get("start", "0"), "start"),
            duration=duration,
            split=cell.get("split", ""),
            labels=tuple(labels),
            caption=cell.get("caption", ""),
        )
    return table.present(clips)


def _read_vggsound(table: _Table, media_root: Path | None) -> tuple[list[Clip], list[str]]:
    """``youtube_id,start,label,split`` without a header (Chen et al., 2020)."""
    wanted = []
    for line, row in table.fours("VGGSound has 4: youtube_id,start,label,split"):
        start = table.number(line, row[1], "start")
        end = start + YOUTUBE_CLIP_SECONDS
        wanted.append(_YouTubeClip(line, row[0], start, end, row[3], (row[2],)))
    return _resolve_youtube(table, wanted, media_root)


def _read_audioset(table: _Table, media_root: Path | None) -> tuple[list[Clip], list[str]]:
    """``YTID, start_seconds, end_seconds, "labels"`` under comments (Gemmeke et al., 2017).

    The split is the file's name (``eval_segments.csv``: ``eval``); labels stay machine ids (``/m/...``).
    """
    split = table.path.stem.removesuffix("_segments")
    wanted = []
    for line, row in table.fours('AudioSet has 4: YTID, start, end, "labels"'):
        start, end = table.number(line, row[1], "start"), table.number(line, row[2], "end")
        if end <= start:
            raise table.error(line, f"ends at {row[2]}, before it starts at {row[1]}")
        labels = tuple(label.strip() for label in row[3].split(",") if label.strip())
        wanted.append(_YouTubeClip(line, row[0], start, end, split, labels))
    return _resolve_youtube(table, wanted, media_root)


def _read_esc50(table: _Table, media_root: Path | None) -> tuple[list[Clip], list[str]]:
    """``meta/esc50.csv`` with the sounds in ``audio`` beside ``meta``; folds become splits ``fold1`` to ``fold5``."""
    root = media_root or table.path.parent.parent / "audio"
    if not set(table.rows[0][1]) >= ESC50_COLUMNS:
        raise table.error(table.rows[0][0], "no columns filename, fold and category")
    clips = {}
    for line, cell in table.cells():
        name, labels = cell["filename"], (cell["category"],)
        clips[line] = Clip(Path(name).stem, root / name, split=f"fold{cell['fold']}", labels=labels)
    return table.present(clips)


@dataclass(frozen=True)
class _YouTubeClip:
    line: int
    video: str
    start: float
    end: float
    split: str
    labels: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.video}_{int(self.start):06d}"

    def cut_names(self) -> tuple[str, ...]:
        """Stems that downloaders give to the file of this clip alone."""
        start, end = self.start, self.end
        return (
            self.id,
            f"{self.video}_{int(start)}",
            f"{self.video}_{int(start)}_{int(end)}",
            f"{self.video}_{round(start * 1000)}_{round(end * 1000)}",
        )


def _resolve_youtube(
    table: _Table, wanted: Sequence[_YouTubeClip], media_root: Path | None
) -> tuple[list[Clip], list[str]]:
    """Find each clip's file anywhere below ``media_root``, under the names downloaders give.

    ``<id>_<start>`` and its variants are the clip itself; ``<id>`` is the clip or the whole video.
    """
    table.check_unique((clip.line, clip.id) for clip in wanted)
    # One walk over the folder instead of a dozen look-ups for each of millions of clips.
    by_stem = {path.stem: path for path in reversed(media_below(media_root or table.path.parent))}
    clips, missing = [], []
    for item in wanted:
        cut = next((by_stem[name] for name in item.cut_names() if name in by_stem), None)
        path = cut or by_stem.get(item.video)
        if path is None:
            missing.append(item.id)
            continue
        clips.append(
            Clip(
                id=item.id,
                path=path,
                start=0.0 if cut else item.start,
                duration=item.end - item.start,
                split=item.split,
                labels=item.labels,
                may_be_cut=cut is None,
            )
        )
    return clips, missing


_READERS: dict[str, Callable[[_Table, Path | None], tuple[list[Clip], list[str]]]] = {
    "csv": _read_csv,
    "vggsound": _read_vggsound,
    "audioset": _read_audioset,
    "esc50": _read_esc50,
}
