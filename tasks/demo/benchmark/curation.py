"""``vab evaluate curation``: how well swapped sounds are found, and what leaving them out does to a V-AURA."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import vab
from tasks.console import console, numbers_table, say, track
from tasks.demo.benchmark.ablation import measure, train_small
from tasks.demo.benchmark.material import SPLIT, measured_on
from tasks.demo.benchmark.scores import SHOWN
from tasks.demo.options import CurationOptions
from tasks.record import write_record
from vab.curation import Match, match_by_agreement, write_list
from vab.errors import ConfigError
from vab.features.info import StoreInfo
from vab.features.shards import ShardArrays, map_arrays, read_clips, write_shard
from vab.features.store import FeatureStore
from vab.files import write_atomically
from vab.pipeline import model_path
from vab.weights import sha256_of


def run(options: CurationOptions) -> int:
    """Swap, score, train a model for each threshold, print a table."""
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    store, swapped = swap_sounds(options.store, out, options.swapped, options.seed)
    similarities = _similarities(store, out, options)
    rows: list[dict[str, Any]] = []
    for least in (None, *options.min_similarity):
        kept = [match for match in similarities if least is None or match.similarity >= least]
        name = "all" if least is None else f"{least:g}"
        clips = out / f"list-{name}.csv"
        write_atomically(clips, write_list(kept, [f"{len(kept)} of {len(similarities)} clips"]))
        folder = out / f"v_aura-{name}"
        train_small(folder, "v_aura/demo", {"data": {"clips": str(clips)}}, options, store=store)
        found = _found([match.clip.id for match in similarities], [match.clip.id for match in kept], swapped)
        rows.append(
            {"min_similarity": least, "num_kept": len(kept), **found}
            | measure(folder, ["generation"], options)
        )
    _show(rows)
    pipeline = vab.load(folder / "model.safetensors", device=options.device)
    measured = measured_on(
        min(options.clips, len(FeatureStore(store).select(split=SPLIT))),
        pipeline,
        pipeline.sampling_options(),
        "evaluate curation",
        options,
        training_steps=options.steps,
        swapped=options.swapped,
        num_training_clips=len(similarities),
    )
    write_record(out / "curation.json", "curation", {"rows": rows}, measured)
    say(str(out / "curation.json"))
    return 0


def swap_sounds(store: Path, out: Path, share: float, seed: int) -> tuple[Path, set[str]]:
    """A copy of a store in which a share of the training clips has the codes of others; and which clips these are.

    Raises:
        ConfigError: the folder holds the copy of another share or seed.
    """
    copy, record = out / "store", out / "swapped.json"
    given = {"store": str(store), "share": share, "seed": seed}
    if record.exists():
        made = json.loads(record.read_text())
        if made["given"] != given:
            raise ConfigError(f"{out} holds a copy made with {made['given']}; give another folder with -o")
        return copy, set(made["clips"])
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(store, copy, ignore=shutil.ignore_patterns(".lock"))
    info = StoreInfo.read(store)  # without the streams that were added, which stay as they are
    generator = torch.Generator().manual_seed(seed)
    swapped: list[str] = []
    for lines in sorted((store / "shards").glob("*.jsonl")):
        head, clips = read_clips(lines)
        arrays = map_arrays(lines, head, info)
        tensors = {name: tensor.clone() for name, tensor in arrays.tensors().items()}
        rows = [clip["row"] for clip in clips if clip.get("split") == "train" and "failure" not in clip]
        training = torch.tensor(rows, dtype=torch.long)
        chosen = training[torch.randperm(len(training), generator=generator)[: round(share * len(training))]]
        if len(chosen) < 2:
            continue  # a clip alone has none to swap with
        for name in ("codes", "codes.num_steps"):
            tensors[name][chosen] = tensors[name][chosen.roll(1)]
        of_row = {clip["row"]: clip["id"] for clip in clips}
        swapped += [of_row[row] for row in chosen.tolist()]
        write_shard(copy / "shards" / lines.name, ShardArrays.named(tensors), clips)
    write_atomically(record, json.dumps({"given": given, "clips": swapped}) + "\n")
    return copy, set(swapped)


def _similarities(store: Path, out: Path, options: CurationOptions) -> list[Match]:
    """Of all training clips, kept in ``out``.

    Raises:
        ConfigError: the folder holds those by other weights.
    """
    opened, path = FeatureStore(store), out / "similarities.json"
    clips = [opened.clips[index] for index in opened.select(split="train", streams=["codes", "clip"])]
    digest = sha256_of(model_path(options.weights))
    if not path.exists():
        pipeline = vab.load(options.weights, device=options.device)
        found: dict[str, float] = {}
        for match in track(match_by_agreement(opened, pipeline), "comparing", total=len(opened)):
            if isinstance(match, Match):
                found[match.clip.id] = match.similarity
        write_atomically(path, json.dumps({"weights_sha256": digest, "similarities": found}) + "\n")
    kept = json.loads(path.read_text())
    if kept.get("weights_sha256") != digest:
        raise ConfigError(f"{path}: is not by {options.weights}; give another folder with -o")
    return [Match(clip, kept["similarities"][clip.id]) for clip in clips]


def _found(every: Sequence[str], kept: Sequence[str], swapped: set[str]) -> dict[str, float | None]:
    """Precision and recall of swapped clips among those that are left out."""
    left_out = set(every) - set(kept)
    hits = len(left_out & swapped)
    return {
        "precision": hits / len(left_out) if left_out else None,
        "recall": hits / len(swapped) if swapped else None,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    head = ("similarity", "clips", "precision", "recall", *SHOWN.values())
    table = numbers_table("V-AURA on clips of a similarity and more", *head)
    for row in rows:
        least = "all" if row["min_similarity"] is None else f"{row['min_similarity']:g}"
        shares = ("" if row[name] is None else f"{row[name]:.3f}" for name in ("precision", "recall"))
        table.add_row(least, str(row["num_kept"]), *shares, *(f"{row[name]:.3f}" for name in SHOWN))
    console.print(table)
