"""The page of results, complete in one file: ``vab search --html``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vab import media
from vab.errors import VABError
from vab.pictures import data_url
from vab.retrieval.options import Branch
from vab.retrieval.previews import Preview, make_preview
from vab.retrieval.search import Index, Modality, Row

_HERE = Path(__file__).parent


def title(modality: Modality, query: object, branch: Branch) -> str:
    """What is searched by and where."""
    return f"{branch} by {modality}: {query}"


def self_contained_page(
    index: Index, rows: list[Row], branch: Branch, modality: Modality, query: str | Path
) -> str:
    """A page that needs no other file, the query among its results; what cannot be read is listed without preview."""
    results = []
    for row in rows:
        try:
            preview = make_preview(index.media_file(row, branch), row.start, row.seconds)
            results.append({**asdict(row), **_embedded(preview)})
        except VABError as error:
            results.append({**asdict(row), "problem": str(error)})
    found: dict[str, Any] = {"title": title(modality, query, branch), "results": results}
    if modality != "text":
        seconds = min(media.probe(query).duration, index.pipeline.card.window_seconds)
        found["query"] = {"name": str(query), **_embedded(make_preview(Path(query), 0.0, seconds))}
    # In a script block "<" may begin a tag or a comment that ends or hides the rest.
    data = json.dumps(found).replace("<", "\\u003c")
    parts = {name: (_HERE / f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    block = f'<script type="application/json" id="found">{data}</script>\n<script>\n{parts["js"]}</script>'
    head, tail = parts["html"].split("<!-- style -->")
    return f"{head}<style>\n{parts['css']}</style>{tail.replace('<!-- script -->', block)}"


def _embedded(preview: Preview) -> dict[str, str | None]:
    return {
        name: None if content is None else data_url(content, media_type)
        for name, content, media_type in (
            ("clip", preview.clip, preview.clip_type),
            ("thumbnail", preview.thumbnail, "image/jpeg"),
            ("spectrogram", preview.spectrogram, "image/png"),
        )
    }
