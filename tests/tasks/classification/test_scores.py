"""Scores by hand and against the definitions; classes, folds and predictions."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import norm

from tasks.classification.classes import Classes
from tasks.classification.metrics import confusions, score
from tasks.classification.options import FinetuneOptions, ScheduleOptions
from tasks.classification.predictions import Predictions
from tasks.classification.report import concatenated, report
from vab.config import from_dict
from vab.errors import ManifestError, StoreError

NAMES = ("dog", "rain", "siren")
CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "classification").glob("*.yaml"))


def test_scores_by_hand() -> None:
    probabilities = np.array([[0.9, 0.2, 0.0], [0.6, 0.5, 0.0], [0.7, 0.8, 0.0], [0.1, 0.4, 0.0]], np.float32)
    targets = np.eye(3, dtype=bool)[[0, 0, 1, 1]]
    scores = score(probabilities, targets, NAMES, is_multilabel=False)
    assert scores.accuracy == 1.0
    # Dogs rank 1 and 3, rain 1 and 3: (1/1 + 2/3) / 2; of four pairs of positive and negative three are in order.
    assert scores.mean_average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert scores.auc == pytest.approx(3 / 4)
    assert scores.d_prime == pytest.approx(math.sqrt(2) * norm.ppf(0.75))
    assert scores.without_positives == ("siren",)
    assert [one.num_positives for one in scores.classes] == [2, 2, 0]
    assert scores.classes[2].average_precision is None and scores.classes[2].auc is None
    assert [one.recall for one in scores.classes] == [1.0, 1.0, None]
    assert confusions(probabilities, targets).tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 0]]


def test_chance_is_chance_and_a_class_of_all_clips_has_no_auc() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.random((4000, 3))
    targets = generator.random((4000, 3)) < 0.2
    targets[:, 2] = True
    scores = score(probabilities, targets, NAMES, is_multilabel=True)
    assert scores.accuracy is None
    assert scores.auc == pytest.approx(0.5, abs=0.03)
    assert scores.d_prime == pytest.approx(0, abs=0.1)
    assert scores.classes[2].auc is None and scores.classes[2].average_precision == 1.0


def test_nothing_to_measure_and_divergence_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        score(np.zeros((2, 3)), np.zeros((2, 3), bool), NAMES, is_multilabel=True)
    with pytest.raises(ValueError, match="diverged"):
        score(np.full((2, 3), np.nan), np.eye(3, dtype=bool)[:2], NAMES, is_multilabel=False)


def test_classes_from_labels_and_files(tmp_path: Path) -> None:
    assert Classes.of_labels([("b",), ("a", "b")], "store").names == ("a", "b")
    listed = tmp_path / "list.txt"
    listed.write_text("rain\n\ndog, barking\n")
    assert Classes.read(listed).names == ("rain", "dog, barking")
    ontology = tmp_path / "class_labels_indices.csv"
    ontology.write_text(
        'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male speech, man speaking"\n'
    )
    classes = Classes.read(ontology)
    assert classes.names == ("Speech", "Male speech, man speaking")
    labels = [("/m/05zppz", "/m/09x0r"), ()]
    classes.check(["x", "y"], labels, is_multilabel=True)
    assert classes.targets(labels).tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog\nrain\ndog\n", "class 'dog' is listed twice"),
        ("dog\n", "1 classes; a classifier needs at least two"),
        ("", "0 classes"),
        ("index,mid,display_name\n0,/m/1,\n", "a row without mid or display_name"),
    ],
)
def test_bad_class_lists(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ManifestError, match=message) as caught:
        Classes.read(path)
    assert "\n" not in str(caught.value) and "list.csv" in str(caught.value)


def test_labels_that_do_not_fit_are_named() -> None:
    classes = Classes.of_labels([("a",), ("b",)], "store")
    with pytest.raises(ManifestError, match=r"2 labels .* \(such as 'c' of clip y\)"):
        classes.check(["x", "y"], [("a",), ("c", "d")], is_multilabel=True)
    with pytest.raises(ManifestError, match="clip y has 2 labels: a, b"):
        classes.check(["x", "y"], [("a",), ("a", "b")], is_multilabel=False)
    with pytest.raises(ManifestError, match="clip x has 0 labels"):
        classes.check(["x"], [()], is_multilabel=False)


def _predictions(seed: int, size: int = 6) -> Predictions:
    generator = np.random.default_rng(seed)
    return Predictions(
        tuple(f"{seed}-{n}" for n in range(size)),
        NAMES,
        generator.random((size, 3)).astype(np.float32),
        np.eye(3, dtype=bool)[np.arange(size) % 3],
    )


def test_predictions_survive_the_disk(tmp_path: Path) -> None:
    written = _predictions(0)
    written.write(tmp_path / "p.parquet", fold="fold1")
    read = Predictions.read(tmp_path / "p.parquet")
    assert (read.ids, read.names) == (written.ids, written.names)
    assert np.array_equal(read.probabilities, written.probabilities)
    assert np.array_equal(read.targets, written.targets)
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"p.parquet: not readable .* delete it"):
        Predictions.read(tmp_path / "p.parquet")


def test_the_report_gives_every_fold_and_their_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = {f"fold{seed}": _predictions(seed) for seed in range(3)}
    report(folds, tmp_path, is_multilabel=False, title="toy", facts={"seed": 7})
    document = json.loads((tmp_path / "metrics.json").read_text())
    each = [document["folds"][name]["accuracy"] for name in folds]
    assert document["mean"]["accuracy"] == pytest.approx(np.mean(each))
    assert document["standard_deviation"]["accuracy"] == pytest.approx(np.std(each))
    assert (document["num_clips"], document["num_classes"], document["seed"]) == (18, 3, 7)
    assert f"{100 * np.mean(each):.1f} %" in capsys.readouterr().out
    rows = (tmp_path / "classes.csv").read_text().splitlines()
    assert rows[0] == "class,clips,average_precision,auc,recall" and rows[2].startswith("rain,6,")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert len(concatenated(list(folds.values())).ids) == 18


def test_several_labels_have_no_accuracy_and_no_confusions(tmp_path: Path) -> None:
    report({"": _predictions(0)}, tmp_path, is_multilabel=True, title="toy", facts={})
    document = json.loads((tmp_path / "metrics.json").read_text())
    assert document["mean"]["accuracy"] is None and document["mean"]["auc"] is not None
    assert not (tmp_path / "confusion.png").exists()


def test_epochs_become_steps() -> None:
    schedule = ScheduleOptions(epochs=50, batch_size=60)
    assert schedule.for_clips(1600).max_steps == 1334
    assert schedule.for_clips(60).max_steps == 50
    assert ScheduleOptions(epochs=2, batch_size=10, accumulate=3).for_clips(300).max_steps == 20
    with pytest.raises(ValueError, match="epochs"):
        ScheduleOptions(epochs=0)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid_and_says_its_command(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ") and f"vab finetune --config configs/classification/{path.name}" in text
    options = from_dict(
        FinetuneOptions, {**yaml.safe_load(text), "store": "store", "out": "out"}, source=str(path)
    )
    assert options.objective.label_smoothing == 0.1 and options.data.mixup_prob == 0.5


def test_the_papers_settings() -> None:
    """Table 8, column by column: epochs, batch, rolling, class balance, several labels."""
    found = {}
    for path in CONFIGS:
        values = {**yaml.safe_load(path.read_text()), "store": "s", "out": "o"}
        one = from_dict(FinetuneOptions, values, source=str(path))
        found[path.stem] = (
            one.training.epochs,
            one.training.batch_size,
            one.data.roll_prob,
            one.data.class_balanced,
            one.data.multilabel,
            one.training.learning_rate,
        )
    del found["demo"], found["demo_esc10"]
    assert found == {
        "audioset2m": (2, 60, 0.1, True, True, 1e-4),
        "audioset20k": (10, 60, 0.1, False, True, 1e-4),
        "vggsound": (5, 48, 0.1, True, False, 1e-4),
        "esc50": (50, 60, 1.0, False, False, 1e-4),
        "speechcommands": (10, 60, 1.0, False, False, 1e-4),
    }
