"""``vab serve``: the search page and its JSON API, for this machine alone unless told otherwise."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from tasks.console import say, tell_limits, warn
from tasks.retrieval.options import ServeOptions
from tasks.retrieval.page import ASSETS, served_page, title
from tasks.retrieval.previews import LONGEST_UPLOAD, Preview, make_preview, upload_audio, upload_frames
from vab import media
from vab.errors import ConfigError, VABError
from vab.pipeline import FRAMES_PER_BATCH, Pipeline
from vab.retrieval.database import BRANCHES
from vab.retrieval.options import Branch
from vab.retrieval.search import OTHER, Index, Modality
from vab.shapes import Float, Tensor

LARGEST_TOP = 100
LARGEST_TEXT = 1000
HEADER_SECONDS = 10.0
REQUEST_SECONDS = 120.0
"""How long a request may take, sending a file included."""
DECODE_SECONDS = 60.0
NUM_CACHED_PREVIEWS = 256
PARTS = {"clip": None, "thumbnail": "image/jpeg", "spectrogram": "image/png"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def run(options: ServeOptions) -> int:
    """Serve until stopped."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise ConfigError("the web page needs two more packages: python -m pip install 'vab[serve]'")
    import uvicorn

    if not _is_loopback(options.host):
        warning = f"{options.host}: whoever reaches this address sees the indexed clips and can send files"
        if not options.allow_remote:
            raise ConfigError(f"{warning}; add --allow-remote if that is meant")
        warn(f"vab serve: {warning}; there is no log-in")
    index = Index.open(*options.index, weights=options.weights, device=options.device)
    tell_limits(index.pipeline)
    app = make_app(index, host=options.host, max_upload_bytes=options.max_upload_mb * 1_000_000)
    say(f"http://{options.host}:{options.port} (stop with Ctrl-C)")
    uvicorn.run(app, host=options.host, port=options.port, **server_settings())
    return 0


def server_settings() -> dict[str, Any]:
    """How uvicorn serves: a connection that sends no whole request head in ``HEADER_SECONDS`` is closed."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_request()

        def data_received(self, data: bytes) -> None:
            if self.cycle is not None and self.cycle.response_complete:
                self._expect_request()
            super().data_received(data)

        def _expect_request(self) -> None:
            last = self.cycle
            self.loop.call_later(
                HEADER_SECONDS, lambda: self.transport.close() if self.cycle is last else None
            )

    return {"http": Impatient, "log_level": "warning", "timeout_keep_alive": 5}


def make_app(index: Index, *, host: str, max_upload_bytes: int) -> Any:
    """The web application.

    A request names clips by their number or id in an index, never by a path. Other pages cannot use it: requests that
    a browser says come from another site are refused, and so is any name but ``host`` and the loopback names.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    asking = threading.Lock()  # one question at a time: the model and the cores are shared

    @lru_cache(maxsize=NUM_CACHED_PREVIEWS)
    def preview_of(number_of_index: int, branch: Branch, number: int) -> Preview:
        part = index.parts[number_of_index]
        window = part.window(branch, number)
        if window is None:
            raise LookupError
        return make_preview(part.media_file(window), window.start, window.seconds)

    def own(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """A route that other sites' pages cannot use."""

        async def checked(request: Request) -> Response:
            if _is_foreign(request.headers):
                return JSONResponse({"error": "requests from other sites are refused"}, status_code=403)
            return await answer(request)

        return checked

    async def home(request: Request) -> Response:
        return HTMLResponse(served_page(), headers=HEADERS)

    async def asset(request: Request) -> Response:
        kind = "text/css" if request.url.path.endswith(".css") else "text/javascript"
        return Response(ASSETS[request.url.path[1:]], media_type=kind, headers=HEADERS)

    async def info(request: Request) -> Response:
        return JSONResponse(
            {
                "clips": index.num_clips,
                "windows": {b: sum(part.num_windows(b) for part in index.parts) for b in BRANCHES},
                "model": Path(index.parts[0].info.model).name,
                "kind": index.parts[0].info.kind,
                "max_upload_mb": max_upload_bytes / 1_000_000,
                "max_query_seconds": LONGEST_UPLOAD,
            }
        )

    async def search(request: Request) -> Response:
        try:
            with tempfile.TemporaryDirectory() as folder:
                async with asyncio.timeout(REQUEST_SECONDS):
                    upload = None
                    if request.method == "POST":
                        upload = await _receive(request, Path(folder) / "upload", max_upload_bytes)
                    question = _Question.of(dict(request.query_params), upload)
                    return JSONResponse(await run_in_threadpool(answer, question))
        except _TooLarge:
            reason = f"files up to {max_upload_bytes / 1_000_000:g} MB are taken"
            return JSONResponse({"error": reason}, status_code=413)
        except TimeoutError:
            reason = f"that took more than {REQUEST_SECONDS:g} s; send a shorter file"
            return JSONResponse({"error": reason}, status_code=408)
        except (VABError, ValueError) as error:
            shown = " ".join(str(error).replace(f"{folder}/", "").split())
            return JSONResponse({"error": shown}, status_code=400)

    def answer(question: _Question) -> dict[str, Any]:
        decoded = question.decode(index.pipeline)
        with asking:
            rows = index.nearest(question.embed(index, decoded), question.branch, question.top)
        return {
            "title": question.title,
            "results": [
                {
                    **asdict(row),
                    **{part: f"api/{row.index}/{question.branch}/{row.number}/{part}" for part in PARTS},
                }
                for row in rows
            ],
        }

    async def part(request: Request) -> Response:
        asked = request.path_params
        if (
            asked["part"] not in PARTS
            or asked["branch"] not in BRANCHES
            or asked["index"] >= len(index.parts)
        ):
            return JSONResponse({"error": "no such thing"}, status_code=404)
        try:
            preview = await run_in_threadpool(preview_of, asked["index"], asked["branch"], asked["number"])
        except (VABError, LookupError):
            return JSONResponse({"error": "this clip's file cannot be shown"}, status_code=404)
        content = getattr(preview, asked["part"])
        if content is None:
            return JSONResponse({"error": "this clip has none"}, status_code=404)
        media_type = PARTS[asked["part"]] or preview.clip_type
        return _ranged(Response, content, media_type, request.headers.get("range"))

    allowed = ["*"] if host in ("0.0.0.0", "::") else [host, "127.0.0.1", "localhost", "[::1]"]
    return Starlette(
        routes=[
            Route("/", home),
            Route("/page.css", asset),
            Route("/page.js", asset),
            Route("/api/info", own(info)),
            Route("/api/search", own(search), methods=["GET", "POST"]),
            Route("/api/{index:int}/{branch}/{number:int}/{part}", own(part)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=allowed)],
    )


class _TooLarge(Exception):
    """An upload beyond the limit."""


@dataclass(frozen=True)
class _Question:
    """What a request asks, checked."""

    modality: Modality
    branch: Branch
    top: int
    text: str
    upload: Path | None
    clip: str
    """Id of a clip of the index; empty = none."""
    index: int
    title: str

    @classmethod
    def of(cls, parameters: dict[str, str], upload: Path | None) -> _Question:
        """Read the parameters of a request.

        Raises:
            ValueError: one is missing or out of bounds.
        """
        top = int(parameters.get("top", "10")) if parameters.get("top", "10").isdecimal() else 0
        if not 1 <= top <= LARGEST_TOP:
            raise ValueError(f"top must be 1 to {LARGEST_TOP}")
        text, clip, by = parameters.get("text", ""), parameters.get("clip", ""), parameters.get("by", "")
        modality: Any = "text" if text else by
        if modality not in OTHER or (modality == "text") != bool(text) or not (text or clip or upload):
            raise ValueError("give text, or by=video or by=audio with a clip's id or a file as the body")
        if len(text) > LARGEST_TEXT:
            raise ValueError(f"at most {LARGEST_TEXT} characters of text")
        branch: Any = parameters.get("in", OTHER[modality])
        if branch not in BRANCHES:
            raise ValueError("in must be video or audio")
        number = parameters.get("index", "0")
        if not number.isdecimal():
            raise ValueError("index must be a number")
        shown = title(modality, text or clip or parameters.get("name", "file"), branch)
        return cls(modality, branch, top, text, upload, clip, int(number), shown)

    def decode(self, pipeline: Pipeline) -> np.ndarray | None:
        """Frames or audio of a file that was sent, decoded in a child process; None = no file was."""
        if self.upload is None or self.clip or self.text:
            return None
        if self.modality == "audio":
            rate = pipeline.codec.sample_rate
            return media.decode_limited(upload_audio, self.upload, rate, seconds=DECODE_SECONDS)
        fps, size = pipeline.visual_fps, pipeline.encoder.image_size
        return media.decode_limited(upload_frames, self.upload, fps, size, seconds=DECODE_SECONDS)

    def embed(self, index: Index, decoded: np.ndarray | None) -> Float[Tensor, "W P"]:
        """What to search with: the embedding of the text, those of the file, or the stored ones of a clip."""
        pipeline, modality = index.pipeline, self.modality
        if modality == "text":
            return index.embed("text", self.text)
        if decoded is None:
            if self.index >= len(index.parts):
                raise ValueError(f"there are {len(index.parts)} indexes")
            return index.parts[self.index].clip_embeddings(modality, self.clip)
        if modality == "audio":
            return pipeline.audio_windows(torch.from_numpy(decoded))
        starts = range(0, len(decoded), FRAMES_PER_BATCH)
        features = [pipeline.encode_frames(decoded[start : start + FRAMES_PER_BATCH]) for start in starts]
        return pipeline.video_windows(torch.cat(features))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_foreign(headers: Any) -> bool:
    """Whether a browser says that a page of another site asks."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return True
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


async def _receive(request: Any, path: Path, max_bytes: int) -> Path:
    """The body as a file, as long as it is not too large; its size is counted, not believed."""
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise _TooLarge
            file.write(chunk)
    if not size:
        raise ValueError("the file is empty")
    return path


def _ranged(response: Callable[..., Any], content: bytes, media_type: str, wanted: str | None) -> Any:
    """All of it, or the one range that a player asks for when it jumps."""
    headers = {"Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    first, _, last = (wanted or "").removeprefix("bytes=").partition("-")
    if not wanted or "," in wanted or not first.isdecimal() or (last and not last.isdecimal()):
        return response(content, media_type=media_type, headers=headers)
    start, stop = int(first), min(int(last) + 1, len(content)) if last else len(content)
    if start >= stop:
        return response(status_code=416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return response(content[start:stop], status_code=206, media_type=media_type, headers=headers)
