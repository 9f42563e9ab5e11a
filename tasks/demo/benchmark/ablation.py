"""``vab evaluate ablation``: small models that differ in one thing, trained and measured alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich import box
from rich.table import Table

import vab
from tasks.classification.finetune import run as finetune
from tasks.classification.options import FinetuneOptions
from tasks.console import console, say
from tasks.demo.benchmark.material import SPLIT, BenchmarkClip, held_out, measured_on, read_clips
from tasks.demo.benchmark.run import train_classifier
from tasks.demo.benchmark.scores import SHOWN, score
from tasks.demo.benchmark.systems import generate
from tasks.demo.options import AblationOptions, CurationOptions, Measure
from tasks.demo.world import SAMPLE_RATE
from tasks.evaluation.options import RetrievalOptions, TokensOptions
from tasks.evaluation.results import ablated
from tasks.evaluation.retrieval import measure as measure_retrieval
from tasks.evaluation.tokens import measure as measure_tokens
from tasks.evaluation.tokens import predicts_masked
from tasks.options import read_options
from tasks.pretraining.options import PretrainOptions
from tasks.pretraining.run import run as pretrain
from tasks.record import write_record
from tasks.retrieval.adapt import run as adapt
from tasks.retrieval.options import AdaptOptions
from vab.errors import ConfigError
from vab.features.dataset import FeatureDataset
from vab.features.store import FeatureStore
from vab.files import write_atomically
from vab.metrics.curves import dtw_distance, wasserstein_seconds
from vab.metrics.onsets import onset_strength
from vab.models import find_model
from vab.objectives.layout import LayoutPrediction
from vab.objectives.options import LayoutOptions
from vab.pipeline import Pipeline

CONFIGS = Path(__file__).parents[3] / "configs"
Changes = dict[str, dict[str, Any]]
SMALL: dict[str, Changes] = {
    "vab/demo": {
        "model": {"num_layers": 4, "num_encoder_layers": 2},
        "training": {"warmup_steps": 100},
    },
    "v_aura/demo": {
        "model": {"num_layers": 3, "num_codebooks": 4},
        "training": {"warmup_steps": 100, "batch_size": 16},
    },
}
"""What all models of a configuration have in common; the rest is the configuration itself."""


@dataclass(frozen=True)
class Comparison:
    """Models of one configuration that differ in one thing."""

    config: str
    """File in configs/, without its suffix."""
    models: dict[str, Changes]
    """What each model changes, by its name."""
    measure: Measure = "generation"
    """What is measured unless something else is asked for."""


def _varied(field: str, *values: Any) -> dict[str, Changes]:
    """Models with these values of one field, named after them."""
    return {str(value): {"model": {field: value}} for value in values}


def _masked(mean: float, minimum: float) -> Changes:
    return {"objective": {"mask_ratio": {"mean": mean, "std": 0.25, "minimum": minimum, "maximum": 1.0}}}


COMPARISONS: dict[str, Comparison] = {
    "alibi": Comparison("vab/demo", {"asymmetric": {}, **_varied("alibi", "time", "index")}),
    "alibi_few_frames": Comparison(
        "vab/demo",
        {
            "asymmetric": {"model": {"visual_fps": 1.25}},
            "time": {"model": {"visual_fps": 1.25, "alibi": "time"}},
            "index": {"model": {"visual_fps": 1.25, "alibi": "index"}},
        },
    ),
    "visual_rate": Comparison("vab/demo", {"12.5": {}, **_varied("visual_fps", 6.25, 1.25)}),
    "experts": Comparison("vab/demo", {"with": {}, "without": {"model": {"has_experts": False}}}),
    "heads": Comparison("vab/demo", {"8": {}, **_varied("num_heads", 4)}),
    "learning_rate": Comparison("vab/demo", {"2e-3": {}, "1e-3": {"training": {"learning_rate": 1e-3}}}),
    "codebooks": Comparison("vab/demo", {"4": {}, **_varied("num_codebooks", 2)}),
    "mask_ratio": Comparison(
        "vab/demo",
        {"demo": {}, "0.35": _masked(0.35, 0.35), "0.55": _masked(0.55, 0.5), "0.75": _masked(0.75, 0.5)},
    ),
    "v_aura_fusion": Comparison("v_aura/demo", {"concat": {}, **_varied("fusion", "prepend")}),
    "v_aura_pattern": Comparison("v_aura/demo", {"delay": {}, **_varied("pattern", "parallel", "flattened")}),
    "v_aura_rate": Comparison(
        "v_aura/demo",
        {
            "25": {},
            "12.5": {"model": {"conditions": {"sync": {"rate": 12.5}}}},
            "2.5": {
                "model": {"conditions": {"clip": {"rate": 2.5}, "sync": {"rate": 2.5}}},
                "data": {"crop_seconds": 2.4},
            },
        },
    ),
    "tiva_predictor": Comparison(
        "tiva/predictor_demo",
        {
            "one_layer": {"model": {"class_layers": 1, "attention": ["everywhere"]}},
            "everywhere": {"model": {"attention": ["everywhere"]}},
            "near": {"model": {"attention": ["near"]}},
            "everywhere_near": {"model": {"attention": ["everywhere", "near"]}},
            "patches": {},
        },
        measure="prediction",
    ),
    "tiva_layout": Comparison(
        "tiva/demo",
        {
            "layout": {},
            "onset-curve": {"model": {"predictor": {"layout_stream": "onset-curve", "layout_bands": 1}}},
            "onsets": {"model": {"predictor": {"layout_stream": "onsets", "layout_bands": 1}}},
            "none": {"objective": {"layout": "none"}},
        },
    ),
}


def run(options: AblationOptions) -> int:
    """Train what is not there yet, measure all, print tables."""
    if unknown := set(options.what) - set(COMPARISONS):
        raise ConfigError(f"no comparison {', '.join(sorted(unknown))}; there are: {', '.join(COMPARISONS)}")
    out = options.output
    rows: list[dict[str, Any]] = []
    for what in options.what:
        comparison = COMPARISONS[what]
        common = f"{comparison.config.replace('/', '-')}-common"
        compared: list[dict[str, Any]] = []
        for value, changes in comparison.models.items():
            folder = out / (f"{what}-{value}" if changes else common)
            train_small(folder, comparison.config, changes, options, store=options.store)
            found = measure(folder, options.measure or [comparison.measure], options)
            compared.append({"what": what, "value": value, **found})
        _show(compared)
        rows += compared
    pipeline = vab.load(folder / "model.safetensors", device=options.device)  # all are sampled alike
    measured = measured_on(
        min(options.clips, len(FeatureStore(options.store).select(split=SPLIT))),
        pipeline,
        pipeline.sampling_options() if find_model(pipeline.card.type).sampling else None,
        "evaluate ablation",
        options,
        training_steps=options.steps,
    )
    write_record(out / "ablation.json", "ablation", {"rows": rows}, measured)
    say(str(out / "ablation.json"))
    return 0


def train_small(
    folder: Path, config: str, changes: Changes, options: AblationOptions | CurationOptions, *, store: Path
) -> None:
    """Train a small model into a folder, if it is not there yet: a file of configs/, and what it differs in."""
    if (folder / "model.safetensors").exists():
        return
    common = {
        "store": [str(store)],
        "out": str(folder),
        "resume": True,
        "device": options.device,
        "training": {"max_steps": options.steps, "seed": options.seed},
    }
    small = SMALL.get(config, {})
    pretrain(read_options(PretrainOptions, CONFIGS / f"{config}.yaml", small, common, changes))


def measure(
    folder: Path, names: Sequence[Measure], options: AblationOptions | CurationOptions
) -> dict[str, Any]:
    """What is asked for of one model; each part is kept beside the model."""
    result: dict[str, Any] = {}
    measures = {
        "generation": _generation,
        "retrieval": _retrieval,
        "probe": _probe,
        "prediction": _prediction,
    }
    for name in names:
        path = folder / f"{name}.json"
        if not path.exists():
            write_atomically(path, json.dumps(measures[name](folder, options), indent=2) + "\n")
        result |= json.loads(path.read_text())
    return result


def _generation(folder: Path, options: AblationOptions | CurationOptions) -> dict[str, Any]:
    """The benchmark's scores of what the model generates, and what else can be said of its kind."""
    pipeline = vab.load(folder / "model.safetensors", device=options.device)
    clips = _clips(pipeline, options)
    sounds = generate(folder.name, clips, pipeline, pipeline.sampling_options(), seed=options.seed)
    classifier = train_classifier(pipeline, options.output, options.classifier_clips)
    scores = score(sounds, clips, SAMPLE_RATE, classifier)
    if predicts_masked(pipeline):
        tokens = measure_tokens(pipeline, FeatureStore(options.store), TokensOptions(store=options.store))
        scores["tokens"] = tokens.metrics
    if "layout" in pipeline.predicted_rates:
        curves = [
            (onset_strength(sound, SAMPLE_RATE), onset_strength(clip.waveform, SAMPLE_RATE))
            for sound, clip in zip(sounds, clips, strict=True)
        ]
        scores["onset_curves"] = {
            "wasserstein": fmean(wasserstein_seconds(*pair) for pair in curves),
            "dtw": fmean(dtw_distance(*pair) for pair in curves),
        }
    return scores


def _clips(pipeline: Pipeline, options: AblationOptions | CurationOptions) -> list[BenchmarkClip]:
    """Held-out clips; for a model that follows layouts with the true ones, or silent ones where it learnt from such."""
    if "layout" not in pipeline.predicted_rates:
        return read_clips(options.store, options.clips, pipeline)
    stream = pipeline.model.config.predictor.layout_stream
    clips = read_clips(options.store, options.clips, pipeline, also=[stream])
    is_silent = pipeline.card.provenance["options"]["objective"]["layout"] == "none"
    return [
        replace(clip, conditions={**clip.conditions, "layout": clip.conditions[stream] * (not is_silent)})
        for clip in clips
    ]


def _prediction(folder: Path, options: AblationOptions | CurationOptions) -> dict[str, Any]:
    """The mean square error of a predictor's layouts, and that of the mean layout, on the beginning of each clip."""
    pipeline = vab.load(folder / "model.safetensors", device=options.device)
    store = FeatureStore(options.store)
    pipeline.card.check_store(store)
    data = FeatureDataset(
        store,
        held_out(store, options.clips),
        streams=pipeline.model.config.streams,
        crop_seconds=pipeline.card.window_seconds,
    )
    objective = LayoutPrediction(pipeline.model, LayoutOptions())
    [batch] = data.batches(len(data))
    errors = objective.evaluate(batch.to(pipeline.device), generator=torch.Generator())
    return {"prediction": {name: error.item() for name, error in errors.items()}}


def _retrieval(folder: Path, options: AblationOptions | CurationOptions) -> dict[str, Any]:
    """Recall after the demo's contrastive adaptation."""
    adapted = folder / "search"
    given = {
        "weights": str(folder / "model.safetensors"),
        "store": [str(options.store)],
        "out": str(adapted),
        "resume": True,
        "device": options.device,
        "training": {"seed": options.seed},
    }
    adapt(read_options(AdaptOptions, CONFIGS / "retrieval" / "demo.yaml", given))
    found = measure_retrieval(
        RetrievalOptions(
            store=[options.store], weights=str(adapted / "encoder.safetensors"), device=options.device
        )
    )
    return {
        "retrieval": {name: summary.recall_1 for name, summary in found.summaries.items()},
        "num_retrieval_clips": found.num_clips,
    }


def _probe(folder: Path, options: AblationOptions | CurationOptions) -> dict[str, Any]:
    """A linear probe of the classes from the frames alone."""
    given = {
        "init": str(folder / "model.safetensors"),
        "store": str(options.store),
        "out": str(folder / "probe"),
        "modality": "visual",
        "freeze": True,
        "resume": True,
        "device": options.device,
        "training": {"seed": options.seed},
    }
    finetune(read_options(FinetuneOptions, CONFIGS / "classification" / "demo.yaml", given))
    mean = json.loads((folder / "probe" / "metrics.json").read_text())["mean"]
    return {"probe": mean["mean_average_precision"]}


def _show(rows: list[dict[str, Any]]) -> None:
    # without lines, so that nothing is cut in a terminal of 80 columns
    table = Table(
        title="small models that differ in one thing",
        title_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    scores = SHOWN if "num_clips" in rows[0] else {}
    more = ablated(rows)
    for title in ("", *scores.values(), *more.head):
        table.add_column(title, justify="right" if title else "left", no_wrap=not title)
    for row, others in zip(rows, more.rows, strict=True):
        table.add_row(f"{row['what']} {row['value']}", *(f"{row[name]:.3f}" for name in scores), *others)
    console.print(table)
