"""``vab finetune``: a labelled feature store and a pretrained VAB in, classifiers and their scores out."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.classification.baselines import baseline_inputs, predict_by_baseline
from tasks.classification.classes import Classes
from tasks.classification.init_checkpoint import InitCheckpoint
from tasks.classification.options import FinetuneOptions
from tasks.classification.predictions import Predictions
from tasks.classification.probe import cached_features, fit_probe, probe_probabilities
from tasks.classification.protocol import Fold, plan_folds
from tasks.classification.report import report
from tasks.classification.training import STREAMS_OF, build_classifier, finetune, go_on_masked, probabilities
from tasks.console import say
from tasks.options import command_line
from tasks.record import conditions
from vab.config import to_dict, to_record
from vab.device import choose_device
from vab.errors import WeightsError
from vab.features.files import read_lines
from vab.features.store import FeatureStore
from vab.files import check_outputs, write_atomically
from vab.models.files import REFINER, ModelCard, save_model
from vab.models.vab.classifier import MODEL_TYPE, VABClassifier
from vab.models.vab.encoder import VABEncoder
from vab.models.vab.model import VAB
from vab.provenance import made_with
from vab.training.folder import run_folder

PREDICTIONS = "predictions.parquet"
GIVEN = {"audio": "audio alone", "visual": "frames alone", "both": "audio and frames"}


def run(options: FinetuneOptions) -> int:
    """Train and measure every fold that is not done; write classifiers, predictions and scores."""
    with run_folder(options.out):
        return _run(options)


def _run(options: FinetuneOptions) -> int:
    store = FeatureStore(options.store)
    modality = "audio" if options.baseline else options.modality
    folds = plan_folds(store, options.data, streams=STREAMS_OF[modality])
    check_outputs([options.out / fold.name / "model.safetensors" for fold in folds], [Path(options.init)])
    classes = _classes(store, folds, options)
    used = sorted({clip for fold in folds for clip in (*fold.train, *fold.test)})
    ids = [store.clips.ids[clip] for clip in used]
    classes.check(ids, _labels(store, used), is_multilabel=options.data.multilabel)
    init = None if options.baseline else InitCheckpoint.load(options, store)
    _note_options(options)
    inputs = baseline_inputs(store, used, options) if options.baseline else {}
    done: dict[str, Predictions] = {}
    for number, fold in enumerate(folds, 1):
        out = options.out / fold.name
        if not (out / PREDICTIONS).exists():
            if options.fold not in (None, number):
                continue
            began = time.perf_counter()
            if init is None:
                learnt = classes.targets(_labels(store, fold.train))
                guesses = predict_by_baseline(inputs, fold, learnt, options, out)
            else:
                guesses = _train_and_predict(init, store, fold, used, classes, options, out)
            predictions = Predictions(
                tuple(store.clips.ids[clip] for clip in fold.test),
                classes.names,
                guesses,
                classes.targets(_labels(store, fold.test)),
            )
            predictions.write(out / PREDICTIONS, fold=fold.name)
            num_left = 0 if options.fold else len(folds) - number
            _print_speed(fold, options, time.perf_counter() - began, num_left)
        done[fold.name] = Predictions.read(out / PREDICTIONS)
    counts = _counts(store, len(used))
    say(_in_words(counts))
    report(
        done,
        options.out,
        is_multilabel=options.data.multilabel,
        title=f"{method(options)} on {store.path.name}, {GIVEN[modality]}",
        facts=_facts(
            replace(options, fold=None), store, counts, init, sum(len(one.ids) for one in done.values())
        ),
    )
    return 0


def method(options: FinetuneOptions) -> str:
    """What was done, in words."""
    if options.baseline:
        name = {"forest": "random forest on MFCC statistics", "cnn": "log-mel CNN"}[options.baseline]
        return name + " of decoded codes" * options.through_codec
    ways = ["linear probe" if options.freeze else "fine-tuned"]
    ways += ["from scratch"] if options.scratch else []
    ways += ["after masked prediction on the training sound"] if options.masked_epochs else []
    return " ".join(ways)


def _train_and_predict(
    init: InitCheckpoint,
    store: FeatureStore,
    fold: Fold,
    used: list[int],
    classes: Classes,
    options: FinetuneOptions,
    out: Path,
) -> np.ndarray:
    model = build_classifier(_encoder_for(init, store, fold, options, out), classes.names, options)
    if options.freeze:
        features = cached_features(model, store, used, options.out, device=options.device)
        row_of = {clip: row for row, clip in enumerate(used)}
        rows = [row_of[clip] for clip in fold.train]
        learnt = classes.targets(_labels(store, fold.train))
        fit_probe(model, features[rows], learnt, seed=options.training.seed)
        guesses = probe_probabilities(model, features[[row_of[clip] for clip in fold.test]])
    else:
        finetune(model, store, fold, classes.class_of, options, out)
        guesses = probabilities(model, store, fold.test, device=options.device)
    save_model(out / "model.safetensors", model, _card(init, store, model, fold, options))
    return guesses.numpy()


def _encoder_for(
    init: InitCheckpoint, store: FeatureStore, fold: Fold, options: FinetuneOptions, out: Path
) -> VABEncoder:
    if options.scratch:
        return init.random_encoder(options)
    if not options.masked_epochs:
        return init.encoder()
    assert isinstance(init.model, VAB)
    model = VAB(init.model.config)
    model.load_state_dict(init.model.state_dict())
    go_on_masked(model, store, fold.train, options, out / "masked")
    return VABEncoder.from_vab(model.cpu())


def _classes(store: FeatureStore, folds: list[Fold], options: FinetuneOptions) -> Classes:
    if options.data.class_list:
        return Classes.read(options.data.class_list)
    learnt = sorted({clip for fold in folds for clip in fold.train})
    return Classes.of_labels(_labels(store, learnt), str(store.path))


def _labels(store: FeatureStore, clips: list[int]) -> list[tuple[str, ...]]:
    return [store.clips.labels[clip] for clip in clips]


def _note_options(options: FinetuneOptions) -> None:
    """Note what is done in the run's folder; what is there already must be the same.

    Raises:
        WeightsError: the folder holds a run, and this is not to go on with it, or has other options.
    """
    path = options.out / "options.json"
    # What a fold depends on: not whether it was reached in one go, nor which others were.
    lasting = replace(options, resume=False, fold=None)
    text = json.dumps(to_dict(lasting), indent=2) + "\n"
    if path.exists():
        if not options.resume:
            raise WeightsError(
                f"{options.out} already holds a run; add --resume to go on with it, or choose another folder"
            )
        if path.read_text() != text:
            raise WeightsError(f"{path}: that run has other options; give the same, or choose another folder")
    write_atomically(path, text)


def _card(
    init: InitCheckpoint, store: FeatureStore, model: VABClassifier, fold: Fold, options: FinetuneOptions
) -> ModelCard:
    return ModelCard(
        type=MODEL_TYPE,
        config=to_dict(model.config),
        components={name: each for name, each in init.card.components.items() if name != REFINER},
        window_seconds=store.info.clip_seconds,
        overlap_seconds=store.info.clip_seconds / 5,
        provenance={
            "trained_on": f"{len(fold.train)} clips of {store.path.name}"
            + (f", all folds but {fold.name}" if fold.name else ""),
            "started_from": {"weights": Path(options.init).stem, "sha256": init.sha256},
            "options": to_record(options),
            **made_with(),
        },
    )


def _counts(store: FeatureStore, num_used: int) -> dict[str, int]:
    """Clips used, and those that the lists name and the store lacks."""
    failures, missing = store.path / "failures.jsonl", store.path / "missing.txt"
    return {
        "used": num_used,
        "unreadable": len(read_lines(failures)) if failures.exists() else 0,
        "without_file": len(missing.read_text().split("\n")) - 1 if missing.exists() else 0,
    }


def _in_words(counts: dict[str, int]) -> str:
    words = f"{counts['used']} clips used"
    if counts["unreadable"]:
        words += f"; {counts['unreadable']} could not be read (failures.jsonl of the store has the reasons)"
    if counts["without_file"]:
        words += f"; {counts['without_file']} have no file (missing.txt of the store lists them)"
    return words


def _print_speed(fold: Fold, options: FinetuneOptions, seconds: float, num_left: int) -> None:
    is_one_pass = options.freeze or options.baseline == "forest"
    passes = 1 if is_one_pass else options.training.epochs + options.masked_epochs
    speed = passes * len(fold.train) / seconds
    left = f"; {num_left} more, about {num_left * seconds / 60:.0f} min" if num_left else ""
    say(f"{fold.name or 'trained'}: {seconds:.0f} s, {speed:.1f} clips a second{left}")


def _facts(
    options: FinetuneOptions,
    store: FeatureStore,
    counts: dict[str, int],
    init: InitCheckpoint | None,
    num_tested: int,
) -> dict[str, Any]:
    splits = options.data.folds or options.data.test_splits
    streams = store.info.streams.values()
    codes = next((stream for stream in streams if stream.kind == "codes"), None)
    visual = next((stream for stream in streams if stream.source == "frames"), None)
    return {
        "method": method(options),
        "modality": "audio" if options.baseline else options.modality,
        "clips": counts,
        "started_from": None if init is None else {"weights": options.init, "sha256": init.sha256},
        "conditions": conditions(
            clips=f"{store.path.name}/{', '.join(splits)}",
            num_clips=num_tested,
            clip_seconds=store.info.clip_seconds,
            codec=None if codes is None else codes.maker,
            frame_rate=None if codes is None else codes.rate,
            visual_fps=None if visual is None else visual.rate,
            seed=options.training.seed,
            device=str(choose_device(options.device)),
            command=command_line("finetune", replace(options, resume=False)),
            weights=None if init is None else Path(options.init).stem,
            streams=to_dict(store.info)["streams"],
        ),
    }
