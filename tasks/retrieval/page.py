"""The page of results: one template, filled with everything in it for a file, or served and filled by requests."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tasks.retrieval.opening import Searcher, as_document
from tasks.retrieval.previews import make_preview
from vab.errors import VABError
from vab.retrieval.index import Hit

_TEMPLATE = Path(__file__).with_name("page.html")


def page(found: dict[str, Any] | None) -> str:
    """The page, with results in it or, with None, with a form to ask for them."""
    # "</" would end the script that the JSON stands in.
    return _TEMPLATE.read_text(encoding="utf-8").replace("__FOUND__", json.dumps(found).replace("</", "<\\/"))


def self_contained_page(searcher: Searcher, hits: list[Hit], title: str) -> str:
    """A page that needs no other file; a clip whose file cannot be read is listed without its preview."""
    results = []
    for rank, hit in enumerate(hits, 1):
        document = as_document(hit, rank)
        try:
            preview = make_preview(
                searcher.index.media_file(hit.window), hit.window.start, hit.window.seconds
            )
        except VABError as error:
            results.append({**document, "problem": str(error)})
            continue
        results.append(
            {
                **document,
                "clip": _data(preview.clip, preview.clip_type),
                "thumbnail": _data(preview.thumbnail, "image/jpeg"),
                "spectrogram": _data(preview.spectrogram, "image/png"),
            }
        )
    return page({"title": title, "results": results})


def _data(content: bytes | None, media_type: str) -> str | None:
    return None if content is None else f"data:{media_type};base64,{base64.b64encode(content).decode()}"
