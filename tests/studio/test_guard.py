"""Other sites' pages are refused, before Gradio reads their files."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("gradio", reason="needs the extra vab[studio]")
guard = pytest.importorskip("vab.studio.guard")

OWN = {"host": "127.0.0.1:7860"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


def answered(method: str, path: str, headers: dict[str, str], **options: str) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to a request."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (OWN | headers).items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(guard.Guard(application, **options)(scope, None, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a program, such as Gradio's client
        ({"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),  # typed into the address bar
        ({"origin": "http://example.org"}, 403),
        ({"origin": "null"}, 403),  # a page in a sandbox
        (
            {"origin": "http://127.0.0.1:8888", "sec-fetch-site": "same-site"},
            403,
        ),  # another port of this machine
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_sites_send_and_read_nothing(headers: dict[str, str], status: int) -> None:
    for method, path in (("POST", "/gradio_api/upload"), ("GET", "/config"), ("GET", "/")):
        assert answered(method, path, headers)[0] == status


def test_a_link_from_another_site_leads_to_the_page_and_to_no_more() -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert answered("GET", "/", link)[0] == 200
    assert answered("GET", "/gradio_api/file=clip.mp4", link)[0] == 403
    assert answered("POST", "/", link)[0] == 403


def test_only_a_notebook_may_show_the_page_in_a_frame() -> None:
    policy = answered("GET", "/", {})[1]["content-security-policy"]
    assert policy == "frame-ancestors 'none'"
    policy = answered("GET", "/", {}, frames=guard.ON_THIS_MACHINE)[1]["content-security-policy"]
    assert policy == "frame-ancestors http://127.0.0.1:* http://localhost:*"
