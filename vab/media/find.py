"""From what a user types to a list of video files."""

import glob
from pathlib import Path

from vab.errors import MediaError

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"}
)


def find_media(inputs: list[str | Path]) -> list[Path]:
    """Video files named by files, folders and glob patterns, in that order and each once.

    A file is taken as it is, whatever its suffix. A folder gives the videos in it and below, sorted; a
    pattern (``**`` goes below) the videos and the folders it matches. Hidden files are passed over.

    Raises:
        MediaError: one of the inputs gives nothing.
    """
    return list(dict.fromkeys(path for each in inputs for path in _expand(Path(each))))


def _expand(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        matches, problem = [path], "no video in this folder"
    elif glob.has_magic(str(path)):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
        problem = "no video matches this pattern"
    else:
        raise MediaError(f"{path}: no such file or folder; check the name")
    found = [
        video
        for match in matches
        for video in (_videos_below(match) if match.is_dir() else [match])
        if video.suffix.lower() in VIDEO_SUFFIXES
    ]
    if not found:
        raise MediaError(f"{path}: {problem}; known suffixes: {' '.join(sorted(VIDEO_SUFFIXES))}")
    return found


def _videos_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
