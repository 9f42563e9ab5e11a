"""Other sites' pages can neither use the studio nor show it in a frame."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOWHERE = "'none'"
ON_THIS_MACHINE = "http://127.0.0.1:* http://localhost:*"


class Guard:
    """ASGI middleware: Gradio only keeps other sites from reading its answers, not from sending files and jobs."""

    def __init__(self, app: ASGIApp, *, frames: str = NOWHERE) -> None:
        """Guard what is served; ``frames``: pages that may show it in one, as ``frame-ancestors`` of a policy."""
        self._app = app
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, 403 if it is another site's."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = f"frame-ancestors {self._frames}"
                MutableHeaders(scope=message)["Content-Security-Policy"] = policy
            await send(message)

        if _is_foreign(scope):
            refusal = PlainTextResponse("requests from other sites are refused", status_code=403)
            return await refusal(scope, receive, send)
        return await self._app(scope, receive, framed)


def _is_foreign(scope: Scope) -> bool:
    """Whether a browser says that a page of another site asks; following a link to the page is not that."""
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-mode") == "navigate" and (scope["method"], scope["path"]) == ("GET", "/"):
        return False
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return True
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
