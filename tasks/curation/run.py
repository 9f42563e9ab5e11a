"""``vab curate``: a feature store in, a list of its clips with scores out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from tasks.console import console, say, track, warn
from tasks.curation.options import CurateOptions
from vab import __version__, load
from vab.curation import Match, match_by_agreement, match_by_files, write_list
from vab.device import choose_device
from vab.features.store import FeatureStore, StoredClip
from vab.files import check_outputs, write_atomically
from vab.metrics.imagebind import ImageBind

DEFAULT_WEIGHTS = {"agreement": "demo-search", "imagebind": "imagebind"}
BIN = 0.1
"""Width of a bar of the histogram."""


def run(options: CurateOptions) -> int:
    """Exit code 0, or 2 where no clip is left to list."""
    check_outputs([options.output], (file for store in options.stores for file in store.rglob("*")))
    stores = [FeatureStore(path) for path in options.stores]
    num_clips = sum(map(len, stores))
    weights = options.weights or DEFAULT_WEIGHTS[options.by]
    found = list(track(_matches(stores, options, weights), "comparing", total=num_clips))
    matches = [each for each in found if isinstance(each, Match)]
    num_without = len(found) - len(matches)
    least = options.min_similarity
    kept = [match for match in matches if least is None or match.similarity >= least]
    console.print(histogram([match.similarity for match in matches]))
    rule = "" if least is None else f" of similarity {least:g} or more"
    comments = [
        f"{len(kept)} of {num_clips} clips of {', '.join(store.path.resolve().name for store in stores)}{rule}",
        f"similarity by {options.by}, {Path(weights).name}; by vab {__version__}",
    ]
    write_atomically(options.output, write_list(kept, comments))
    told = f"{options.output}: {comments[0]}" + (
        f"; {num_without} lack audio or frames" if num_without else ""
    )
    say(told)
    return 0 if kept else 2


def _matches(
    stores: Sequence[FeatureStore], options: CurateOptions, weights: str
) -> Iterator[Match | StoredClip]:
    if options.by == "agreement":
        pipeline = load(weights, device=options.device)
        for store in stores:
            yield from match_by_agreement(store, pipeline)
        return
    model = ImageBind(weights, device=choose_device(options.device))
    for store in stores:
        yield from match_by_files(store, model, lambda problem: warn(f"vab curate: {problem}"))


def histogram(similarities: Sequence[float]) -> Table:
    """Clips by similarity, a row for each 0.1, and how many there are from there on."""
    table = Table("similarity", "clips", "at least", "")
    if not similarities:
        return table
    places = np.floor(np.array(similarities) / BIN + 1e-9).astype(int)
    counts = np.bincount(places - places.min())
    for place, count in enumerate(counts, start=places.min()):
        bar = "#" * round(40 * count / counts.max())
        above = (places >= place).sum()
        table.add_row(f"{place * BIN:.1f} to {(place + 1) * BIN:.1f}", str(count), str(above), bar)
    return table
