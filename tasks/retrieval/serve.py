"""``vab serve``: the search page and its JSON API, for this machine alone unless told otherwise."""

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.console import console
from tasks.retrieval.opening import BRANCH_OF, OTHER, Searcher, as_document, the_one
from tasks.retrieval.options import ServeOptions
from tasks.retrieval.page import page
from tasks.retrieval.previews import Preview, make_preview
from vab.errors import ConfigError, VABError
from vab.shapes import Float, Tensor

LARGEST_TOP = 100
LARGEST_TEXT = 1000
NUM_CACHED_PREVIEWS = 256
PARTS = {"clip": None, "thumbnail": "image/jpeg", "spectrogram": "image/png"}


def run(options: ServeOptions) -> int:
    """Serve until stopped."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise ConfigError("the web page needs two more packages: python -m pip install 'vab[serve]'")
    import uvicorn

    searcher = Searcher.open(the_one(options.index), options.weights, options.device)
    app = make_app(searcher, host=options.host, max_upload_bytes=options.max_upload_mb * 1_000_000)
    console.print(f"http://{options.host}:{options.port} (stop with Ctrl-C)", markup=False)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning")
    return 0


def make_app(searcher: Searcher, *, host: str, max_upload_bytes: int) -> Any:
    """The web application.

    A request names clips by their number or id in the index, never by a path. A page elsewhere cannot reach it under
    a name of its own: only ``host`` and the loopback names are answered.
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
    def preview_of(branch: str, number: int) -> Preview:
        window = searcher.index.window(BRANCH_OF[branch], number)
        if window is None:
            raise LookupError
        file = searcher.index.media_file(window)
        return make_preview(file, window.start, window.seconds)

    async def home(request: Request) -> Response:
        policy = (
            "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:"
        )
        return HTMLResponse(page(None), headers={"Content-Security-Policy": policy})

    async def info(request: Request) -> Response:
        index = searcher.index
        return JSONResponse(
            {
                "clips": index.num_clips,
                "windows": {name: index.num_windows(branch) for name, branch in BRANCH_OF.items()},
                "model": Path(index.info.model).name,
                "kind": index.info.kind,
                "max_upload_mb": max_upload_bytes / 1_000_000,
            }
        )

    async def search(request: Request) -> Response:
        try:
            with tempfile.TemporaryDirectory() as folder:
                upload = None
                if request.method == "POST":
                    upload = await _receive(request, Path(folder) / "upload", max_upload_bytes)
                question = _Question.of(dict(request.query_params), upload)
                return JSONResponse(await run_in_threadpool(answer, question))
        except _TooLarge:
            reason = f"files up to {max_upload_bytes / 1_000_000:g} MB are taken"
            return JSONResponse({"error": reason}, status_code=413)
        except (VABError, ValueError) as error:
            shown = " ".join(str(error).replace(f"{folder}/", "").split())
            return JSONResponse({"error": shown}, status_code=400)

    def answer(question: _Question) -> dict[str, Any]:
        with asking:
            hits = searcher.search(question.embed(searcher), question.where, question.top)
        return {
            "title": question.title,
            "results": [
                {
                    **as_document(hit, rank),
                    **{part: f"api/{question.where}/{hit.number}/{part}" for part in PARTS},
                }
                for rank, hit in enumerate(hits, 1)
            ],
        }

    async def part(request: Request) -> Response:
        which, branch = request.path_params["part"], request.path_params["branch"]
        if which not in PARTS or branch not in BRANCH_OF:
            return JSONResponse({"error": "no such thing"}, status_code=404)
        try:
            preview = await run_in_threadpool(preview_of, branch, request.path_params["number"])
        except (VABError, LookupError):
            return JSONResponse({"error": "this clip's file cannot be shown"}, status_code=404)
        content = getattr(preview, which)
        if content is None:
            return JSONResponse({"error": "this clip has none"}, status_code=404)
        return _ranged(Response, content, PARTS[which] or preview.clip_type, request.headers.get("range"))

    allowed = ["*"] if host in ("0.0.0.0", "::") else [host, "127.0.0.1", "localhost", "[::1]"]
    return Starlette(
        routes=[
            Route("/", home),
            Route("/api/info", info),
            Route("/api/search", search, methods=["GET", "POST"]),
            Route("/api/{branch}/{number:int}/{part}", part),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=allowed)],
    )


class _TooLarge(Exception):
    """An upload beyond the limit."""


class _Question:
    """What a request asks, checked."""

    def __init__(self, modality: str, query: str | Path, where: str, top: int, title: str, clip: str) -> None:
        self.modality = modality
        self.query = query
        self.where = where
        self.top = top
        self.title = title
        self.clip = clip

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
        modality = "text" if text else by
        if modality not in OTHER or not (text or clip or upload):
            raise ValueError("give text, or by=video or by=audio with a clip's id or a file as the body")
        if len(text) > LARGEST_TEXT:
            raise ValueError(f"at most {LARGEST_TEXT} characters of text")
        where = parameters.get("in", OTHER[modality])
        if where not in BRANCH_OF:
            raise ValueError("in must be video or audio")
        name = text or clip or parameters.get("name", "file")
        return cls(modality, text or upload or "", where, top, f"{modality} {name} in {where}", clip)

    def embed(self, searcher: Searcher) -> Float[Tensor, "W P"]:
        """What to search with: the embedding of the words, those of the file, or the stored ones of a clip."""
        if self.clip:
            return searcher.index.clip_embeddings(BRANCH_OF[self.modality], self.clip)
        return searcher.embed(self.modality, self.query)


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
