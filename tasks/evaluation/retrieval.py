"""``vab evaluate retrieval``: recall at 1, 5 and 10 and median rank, both ways (paper tables 3, 10 and 14)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

import vab
from tasks.console import console, numbers_table, track, warn
from tasks.evaluation.options import RetrievalOptions
from tasks.options import command_line
from tasks.record import conditions, of_pipeline, write_record
from vab.errors import StoreError
from vab.features.dataset import FeatureDataset
from vab.features.splits import clips_of_split
from vab.features.store import FeatureStore
from vab.files import check_outputs
from vab.metrics.ranking import RankSummary, pair_ranks
from vab.pipeline import Pipeline
from vab.retrieval.lists import match_ids, read_clip_ids
from vab.retrieval.vectors import build_vectors, nearest
from vab.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class RetrievalReport:
    """Ranks of what was searched, and what they were measured on."""

    summaries: dict[str, RankSummary]
    clips: str
    """The stores and their split; of a store without splits, which is searched whole, its name alone."""
    num_clips: int
    missing: list[str]
    """Clips of the list that are in no store."""
    clip_seconds: float
    pipeline: Pipeline


def run(options: RetrievalOptions) -> int:
    """Print a table, write JSON if asked."""
    if options.output:
        check_outputs([options.output], (file for store in options.store for file in store.rglob("*")))
    report = measure(options)
    if report.missing:
        warn(
            f"{len(report.missing)} of the clips in {options.clips} are not there, such as {report.missing[0]}"
        )
    _show(report.summaries, f"{report.num_clips} clips of {report.clips}")
    if options.output:
        measured = conditions(
            clips=options.clips.name if options.clips else report.clips,
            num_clips=report.num_clips,
            num_expected=report.num_clips + len(report.missing),
            clip_seconds=report.clip_seconds,
            command=command_line("evaluate retrieval", options),
            through=options.through,
            model_type=report.pipeline.card.type,
            **of_pipeline(report.pipeline),
        )
        metrics = {name: asdict(summary) for name, summary in report.summaries.items()}
        write_record(options.output, "retrieval", {"metrics": metrics}, measured)
    return 0


def measure(options: RetrievalOptions) -> RetrievalReport:
    """Rank every clip both ways.

    Raises:
        StoreError: a store is of another codec or encoder, or no clip is left to search.
    """
    pipeline = vab.load(options.weights, device=options.device)
    parts = [_dataset(FeatureStore(path), pipeline, options) for path in options.store]
    ids = [part.store.clips.ids[number] for part in parts for number in part.indices]
    missing: list[str] = []
    chosen = list(range(len(ids)))
    if options.clips:
        chosen, missing = match_ids(read_clip_ids(options.clips), ids)
    if not chosen:
        raise StoreError(
            f"{', '.join(map(str, options.store))}: no clips to search in split {options.split!r}"
        )
    visual, audio = _embed(parts, pipeline, options.batch_size)
    visual, audio = visual[chosen], audio[chosen]
    ranks = pair_ranks if options.through == "matrix" else _ranks_by_faiss
    summaries = {
        "visual to audio": RankSummary.of(ranks(visual, audio)),
        "audio to visual": RankSummary.of(ranks(audio, visual)),
        "chance": RankSummary.by_chance(len(chosen)),
    }
    stores = [part.store for part in parts]
    names = [store.path.name + f"/{options.split}" * (store.splits != ("",)) for store in stores]
    return RetrievalReport(summaries, ", ".join(names), len(chosen), missing, parts[0].seconds, pipeline)


def _dataset(store: FeatureStore, pipeline: Pipeline, options: RetrievalOptions) -> FeatureDataset:
    pipeline.card.check_store(store)
    return FeatureDataset(
        store,
        clips_of_split(store, [options.split], option="--split", streams=("codes", "clip")),
        num_codebooks=pipeline.model.config.num_codebooks,
        streams={"codes": None, "clip": pipeline.visual_fps},
        crop_seconds=min(options.crop_seconds or pipeline.card.window_seconds, store.info.clip_seconds),
    )


def _embed(
    parts: list[FeatureDataset], pipeline: Pipeline, batch_size: int
) -> tuple[Float[Tensor, "n P"], Float[Tensor, "n P"]]:
    """Embeddings of frames and of audio of all clips, padding left out."""
    visual, audio = [], []
    batches = (batch for part in parts for batch in part.batches(batch_size))
    for batch in track(batches, "embedding", total=sum(map(len, parts)), size=len):
        frames = zip(batch.streams["clip"], batch.is_valid["clip"], strict=True)
        codes = zip(batch.streams["codes"], batch.is_valid["codes"], strict=True)
        visual.append(pipeline.embed_frames([each[is_valid] for each, is_valid in frames]))
        audio.append(pipeline.embed_codes([each[:, is_valid] for each, is_valid in codes]))
    nothing = torch.zeros(0, pipeline.model.config.width)
    return torch.cat([nothing, *visual]), torch.cat([nothing, *audio])


def _ranks_by_faiss(queries: Float[Tensor, "n P"], gallery: Float[Tensor, "n P"]) -> Int[Tensor, " n"]:
    """Ranks as a search for all clips gives them, ties against the model as everywhere."""
    scores, rows = nearest(build_vectors(gallery.numpy(), "flat"), queries.numpy(), len(gallery))
    found, order = torch.from_numpy(scores), torch.from_numpy(rows)
    right = found[order == torch.arange(len(queries))[:, None]][:, None]
    return (found >= right).sum(dim=1)


def _show(summaries: dict[str, RankSummary], title: str) -> None:
    table = numbers_table(title, "", "R@1", "R@5", "R@10", "median rank")
    for name, found in summaries.items():
        recalls = (f"{value:.1%}" for value in (found.recall_1, found.recall_5, found.recall_10))
        table.add_row(name, *recalls, f"{found.median_rank:g}")
    console.print(table)
