"""One file from the network to disk: resumed after a cut, verified by SHA-256, renamed when whole."""

from __future__ import annotations

import hashlib
import logging
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from vab.errors import WeightsError

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 20.0
_RANGE_NOT_SATISFIABLE = 416


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Compare a file with its known digest, or with the digest's known first digits.

    Raises:
        WeightsError: the content is not the expected one.
    """
    actual = sha256_of(path)
    if not actual.startswith(expected.lower()):
        raise WeightsError(
            f"{path}: SHA-256 is {actual}, expected {expected}: "
            "the file is damaged or another one; delete it and fetch it again"
        )


def download(url: str, path: Path, *, sha256: str | None = None, attempts: int = 20) -> None:
    """Fetch ``url`` to ``path`` with a progress bar; does nothing if ``path`` exists.

    What has arrived is kept beside it as ``<name>.part`` and continued by the next call, so a cut line
    costs nothing; an attempt that brought something is followed by another at once. Several processes may
    ask for one file: one fetches, the others wait for it.

    Raises:
        WeightsError: no connection, no such file, or content that is not ``sha256``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with FileLock(path.with_name(path.name + ".lock")):
        if path.is_file():
            return
        for attempt in range(1, attempts + 1):
            before = _size(part)
            try:
                _fetch(url, part)
                break
            except (OSError, HTTPException) as error:
                if attempt == attempts or _size(part) <= before:
                    raise WeightsError(f"download failed ({_reason(error)})") from error
                logger.warning("download of %s was cut (%s); resuming", url, _reason(error))
        if sha256 is not None:
            try:
                check_sha256(part, sha256)
            except WeightsError:
                # Nothing can be continued from wrong content: the next call must start afresh.
                part.unlink()
                raise
        part.replace(path)


def _fetch(url: str, part: Path) -> None:
    """Append what is missing of ``url`` to ``part``."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    done = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "vab"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if done and error.code == _RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") == f"bytes */{done}":
                return  # the last run was stopped between the last byte and the rename
            part.unlink()
            _fetch(url, part)
            return
        raise
    with response:
        if response.status != 206:
            done = 0  # a server that ignores ranges sends the whole file again
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with (
            part.open("ab" if done else "wb") as file,
            Progress(*columns, console=Console(stderr=True)) as bar,
        ):
            task = bar.add_task(part.name.removesuffix(".part"), total=total, completed=done)
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                bar.advance(task, len(block))
    if total is not None and _size(part) < total:
        raise ConnectionError(f"{_size(part)} of {total} bytes arrived")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(reason).split()) or type(error).__name__
