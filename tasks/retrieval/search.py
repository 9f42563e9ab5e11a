"""``vab search``: ask an index by a file or by words."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.table import Table

from tasks.console import console
from tasks.retrieval.opening import OTHER, Searcher, as_document, the_one
from tasks.retrieval.options import SearchOptions
from tasks.retrieval.page import self_contained_page
from vab.errors import ConfigError
from vab.files import check_outputs, write_atomically
from vab.retrieval.index import Hit


def run(options: SearchOptions) -> int:
    """Print what was found, write the page if asked."""
    queries = {"video": options.video, "audio": options.audio, "text": options.text}
    given = {modality: query for modality, query in queries.items() if query is not None}
    if len(given) != 1:
        raise ConfigError("give one of --video, --audio and --text to search by")
    if options.top < 1:
        raise ConfigError(f"--top must be at least 1, not {options.top}")
    [(modality, query)] = given.items()
    if options.html:
        check_outputs([options.html], [query] if isinstance(query, Path) else [])
    where = options.in_ or OTHER[modality]
    searcher = Searcher.open(the_one(options.index), options.weights, options.device)
    embedding = searcher.embed(modality, query)
    began = time.perf_counter()
    hits = searcher.search(embedding, where, options.top)
    milliseconds = 1000 * (time.perf_counter() - began)
    title = f"{modality} {query} in {where}"
    if options.json:
        found = [as_document(hit, rank) for rank, hit in enumerate(hits, 1)]
        print(json.dumps({"query": {modality: str(query)}, "in": where, "results": found}, indent=2))
    else:
        _show(hits, f"{title}: {searcher.index.num_clips} clips searched in {milliseconds:.1f} ms")
    if options.html:
        write_atomically(options.html, self_contained_page(searcher, hits, title))
    return 0


def _show(hits: list[Hit], title: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("", "score", "time", "file"):
        table.add_column(column, justify="left" if column == "file" else "right", overflow="fold")
    for rank, hit in enumerate(hits, 1):
        window = hit.window
        times = f"{window.start:.1f}-{window.start + window.seconds:.1f} s"
        table.add_row(str(rank), f"{hit.score:.3f}", times, window.path)
    console.print(table)
