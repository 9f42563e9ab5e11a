"""``vab search``: ask indexes by a file or by text."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from tasks.console import console, say, tell_limits
from tasks.retrieval.options import SearchOptions
from tasks.retrieval.page import self_contained_page, title
from vab.errors import ConfigError
from vab.files import check_outputs, write_atomically
from vab.retrieval.search import OTHER, Index, Row, one_query


def run(options: SearchOptions) -> int:
    """Print what was found, write the page if asked."""
    modality, query = one_query(options.video, options.audio, options.text)
    if options.top < 1:
        raise ConfigError(f"--top must be at least 1, not {options.top}")
    if options.html:
        indexed = [file for folder in options.index for file in folder.rglob("*")]
        check_outputs([options.html], indexed if modality == "text" else [Path(query), *indexed])
    index = Index(*options.index, weights=options.weights, device=options.device)
    branch = options.in_ or OTHER[modality]
    tell_limits(index.pipeline)
    embedding = index.embed(modality, query)
    began = time.perf_counter()
    rows = index.nearest(embedding, branch, options.top)
    milliseconds = 1000 * (time.perf_counter() - began)
    if options.json:
        found = [asdict(row) for row in rows]
        print(json.dumps({"query": {modality: str(query)}, "in": branch, "results": found}, indent=2))
    else:
        say(title(modality, query, branch))
        console.print(_table(rows))
        say(f"{index.num_clips} clips searched in {milliseconds:.1f} ms")
    if options.html:
        page = self_contained_page(index, rows, branch, modality, query)
        write_atomically(options.html, page)
    return 0


def _table(rows: list[Row]) -> Table:
    table = Table()
    for column in ("", "score", "time", "file"):
        table.add_column(column, justify="left" if column == "file" else "right", overflow="fold")
    for row in rows:
        times = f"{row.start:.1f}-{row.start + row.seconds:.1f} s"
        table.add_row(str(row.rank), f"{row.score:.3f}", times, row.file)
    return table
