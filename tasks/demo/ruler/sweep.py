"""``vab evaluate sweep``: decoding options against what is heard; the demo's defaults come from here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.table import Table

import vab
from tasks.console import console
from tasks.demo.options import SweepOptions
from tasks.demo.ruler.material import prepare_store, read_clips
from tasks.demo.ruler.run import sounds_folder, train_judge
from tasks.demo.ruler.scores import SHOWN, score
from tasks.demo.ruler.systems import generate
from tasks.demo.world import SAMPLE_RATE
from tasks.pictures import new_figure
from vab import __version__
from vab.weights import write_atomically


def run(options: SweepOptions) -> int:
    """Measure each value, print a table, draw a figure."""
    out = options.output
    out.mkdir(parents=True, exist_ok=True)
    pipeline = vab.load(options.weights, device=options.device)
    store = options.store or prepare_store(out, {"test": options.clips}, options.weights, pipeline)
    clips = [clip for clip in read_clips(store, options.clips, pipeline) if clip.source]
    judge = train_judge(pipeline, out / "training-sounds.npy", options.judge_clips)
    swept: dict[str, Sequence[float]] = {
        "num_steps": options.steps,
        "cfg_scale": options.cfg_scale,
        "temperature": options.temperature,
    }
    rows: list[dict[str, Any]] = []
    for name, values in swept.items():
        for value in values:
            change: dict[str, Any] = {name: value}
            decoding = replace(pipeline.card.decoding, **change)
            sounds = generate(
                f"{name} {value:g}",
                clips,
                pipeline,
                decoding,
                seed=options.seed,
                folder=sounds_folder(out, pipeline, decoding) / f"seed-{options.seed}",
            )
            rows.append({"option": name, "value": value, **score(sounds, clips, SAMPLE_RATE, judge)})
    _show(rows)
    _draw(out / "sweep.png", rows)
    document = {
        "rows": rows,
        "num_clips": len(clips),
        "seed": options.seed,
        "command": f"vab evaluate sweep --weights {options.weights} --clips {options.clips}",
        "device": str(pipeline.device),
        "vab": __version__,
        **pipeline.provenance,
    }
    write_atomically(out / "sweep.json", json.dumps(document, indent=2) + "\n")
    console.print(f"{out / 'sweep.json'}\n{out / 'sweep.png'}", markup=False)
    return 0


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="one decoding option at a time, the others as the weights recommend")
    for column in ("option", "value", *SHOWN.values()):
        table.add_column(column, justify="left" if column == "option" else "right")
    for row in rows:
        table.add_row(row["option"], f"{row['value']:g}", *(f"{row[column]:.3f}" for column in SHOWN))
    console.print(table)


def _draw(path: Any, rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(row["option"] for row in rows))
    figure, all_axes = new_figure(len(names), width=7, row_height=2.6)
    for axes, name in zip(all_axes, names, strict=True):
        chosen = [row for row in rows if row["option"] == name]
        for column in SHOWN:
            axes.plot(
                [f"{row['value']:g}" for row in chosen],
                [row[column] for row in chosen],
                marker="o",
                label=column,
            )
        axes.set_xlabel(name)
        axes.set_ylim(-0.1, 1)
    all_axes[0].legend(fontsize=7, ncols=len(SHOWN))
    figure.savefig(path, dpi=100)
