"""``vab evaluate ablation``: small models that differ in one thing, trained and measured alike."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

import vab
from tasks.cli import main
from tasks.console import console
from tasks.demo.options import AblationOptions
from tasks.demo.ruler.classifier import ClassJudge
from tasks.demo.ruler.material import read_clips
from tasks.demo.ruler.run import train_judge
from tasks.demo.ruler.scores import SHOWN, score
from tasks.demo.ruler.systems import generate
from tasks.demo.world import SAMPLE_RATE
from vab import __version__
from vab.errors import ConfigError, VABError
from vab.features.store import FeatureStore
from vab.files import write_atomically

CONFIG = Path(__file__).parents[3] / "configs" / "vab" / "demo.yaml"
SMALL = (
    "--model.num_layers=4",
    "--model.num_encoder_layers=2",
    "--training.warmup_steps=100",
)
"""What all have in common; the rest is the demo's configuration."""
COMPARISONS: dict[str, dict[str, tuple[str, ...]]] = {
    "alibi": {"asymmetric": (), "time": ("--model.alibi=time",), "index": ("--model.alibi=index",)},
    "visual_rate": {"8": (), "4": ("--model.visual_fps=4",), "1": ("--model.visual_fps=1",)},
    "experts": {"with": (), "without": ("--model.has_experts=false",)},
    "heads": {"8": (), "4": ("--model.num_heads=4",)},
    "learning_rate": {"2e-3": (), "1e-3": ("--training.learning_rate=1e-3",)},
    "codebooks": {"4": (), "2": ("--model.num_codebooks=2",)},
    "mask_ratio": {
        "demo": (),
        "0.35": ("--objective.mask_ratio={mean: 0.35, std: 0.25, minimum: 0.35, maximum: 1.0}",),
        "0.55": ("--objective.mask_ratio={mean: 0.55, std: 0.25, minimum: 0.5, maximum: 1.0}",),
        "0.75": ("--objective.mask_ratio={mean: 0.75, std: 0.25, minimum: 0.5, maximum: 1.0}",),
    },
}


def run(options: AblationOptions) -> int:
    """Train what is not there yet, measure all, print a table."""
    if unknown := set(options.what) - set(COMPARISONS):
        raise ConfigError(f"no comparison {', '.join(sorted(unknown))}; there are: {', '.join(COMPARISONS)}")
    store = FeatureStore(options.store)
    out = options.output

    @functools.cache
    def judge() -> ClassJudge:
        pipeline = vab.load(out / "common" / "model.safetensors", device=options.device)
        return train_judge(pipeline, out, options.judge_clips)

    rows: list[dict[str, Any]] = []
    for what in options.what:
        for value, changes in COMPARISONS[what].items():
            folder = out / (f"{what}-{value}" if changes else "common")
            _train(folder, changes, options)
            rows.append({"what": what, "value": value, **_measure(folder, judge, options)})
    _show(rows)
    document = {
        "rows": rows,
        "store": store.path.name,
        "num_clips": options.clips,
        "training_steps": options.steps,
        "seed": options.seed,
        "command": f"vab evaluate ablation {' '.join(options.what)} --steps {options.steps} --clips {options.clips}",
        "vab": __version__,
    }
    write_atomically(out / "ablation.json", json.dumps(document, indent=2) + "\n")
    console.print(str(out / "ablation.json"), markup=False)
    return 0


def _train(folder: Path, changes: tuple[str, ...], options: AblationOptions) -> None:
    if (folder / "model.safetensors").exists():
        return
    words = ["--store", str(options.store), "--out", str(folder), "--resume", "--device", options.device]
    words += [*SMALL, f"--training.max_steps={options.steps}", f"--training.seed={options.seed}"]
    if code := main(["pretrain", "--config", str(CONFIG), *words, *changes]):
        raise VABError(f"'vab pretrain' of {folder.name} failed with exit code {code}; run again to go on")


def _measure(folder: Path, judge: Callable[[], ClassJudge], options: AblationOptions) -> dict[str, Any]:
    """The ruler's scores of one model, and its loss on hidden codes; kept beside the model."""
    path = folder / "scores.json"
    if not path.exists():
        weights = str(folder / "model.safetensors")
        pipeline = vab.load(weights, device=options.device)
        clips = read_clips(options.store, options.clips, pipeline)
        sounds = generate(folder.name, clips, pipeline, pipeline.card.decoding, seed=options.seed)
        tokens = folder / "tokens.json"
        words = ["--weights", weights, "--store", str(options.store), "-o", str(tokens)]
        if code := main(["evaluate", "tokens", *words, "--device", options.device]):
            raise VABError(f"'vab evaluate tokens' failed with exit code {code}")
        scores = score(sounds, clips, SAMPLE_RATE, judge())
        scores["tokens"] = json.loads(tokens.read_text())["metrics"]
        write_atomically(path, json.dumps(scores, indent=2) + "\n")
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def _show(rows: list[dict[str, Any]]) -> None:
    # without lines, so that nothing is cut in a terminal of 80 columns
    table = Table(
        title="small models that differ in one thing",
        title_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for column in ("", *SHOWN.values(), "loss,\nseeing", "not\nseeing"):
        table.add_column(column, justify="right" if column else "left", no_wrap=not column)
    for row in rows:
        losses = [row["tokens"][f"all_masked/loss_{way}_vision"] for way in ("with", "without")]
        table.add_row(
            f"{row['what']} {row['value']}",
            *(f"{row[column]:.3f}" for column in SHOWN),
            *(f"{loss:.3f}" for loss in losses),
        )
    console.print(table)
