"""The benchmark: what it says of sounds whose worth is known."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_tiny_model

from tasks import cli
from tasks.demo.benchmark import ablation, material, sweep
from tasks.demo.benchmark.ablation import COMPARISONS
from tasks.demo.benchmark.classifier import ReferenceClassifier
from tasks.demo.benchmark.codec import distances
from tasks.demo.benchmark.material import BenchmarkClip, partner_of, training_sounds
from tasks.demo.benchmark.scores import score
from tasks.demo.kept import kept_sounds
from tasks.demo.options import AblationOptions, SweepOptions
from tasks.demo.world import CLASSES, SAMPLE_RATE, ground_truth, render_waveform, sample_scene
from tasks.options import read_options
from tasks.pretraining.options import PretrainOptions
from vab import media
from vab.config import from_dict
from vab.metrics.curves import brightness_curve, correlation, level_curve
from vab.models import find_model
from vab.selection import Choice

NUM_CLIPS = 36


@pytest.fixture(scope="module")
def clips() -> list[BenchmarkClip]:
    scenes = [sample_scene(5, "test", index, 6.0) for index in range(NUM_CLIPS)]
    return [
        BenchmarkClip(
            Path("none.mp4"),
            ground_truth(scene),
            torch.from_numpy(render_waveform(scene)),
            {},
        )
        for scene in scenes
    ]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> ReferenceClassifier:
    sounds, labels = training_sounds(90, tmp_path_factory.mktemp("classifier"))
    return ReferenceClassifier(sounds, labels, SAMPLE_RATE)


def test_sounds_for_the_classifier_are_made_once(tmp_path: Path) -> None:
    made: list[float] = []

    def sound_of(level: float) -> np.ndarray:
        made.append(level)
        return np.full(5, level, np.float32)

    first = kept_sounds(tmp_path / "sounds.npy", "sounds", [0.5, -2.0], sound_of)
    again = kept_sounds(tmp_path / "sounds.npy", "sounds", [0.5, -2.0], sound_of)
    assert made == [0.5, -2.0]
    assert torch.equal(first, again)
    assert first == pytest.approx(np.repeat([[0.5], [-1.0]], 5, axis=1), abs=1e-4)


def test_true_sound_is_near_the_top_and_another_clips_sound_at_the_bottom(
    clips: list[BenchmarkClip], classifier: ReferenceClassifier
) -> None:
    truths = [clip.waveform for clip in clips]
    true = score(truths, clips, SAMPLE_RATE, classifier)
    other = score([truths[partner] for partner in partner_of(clips)], clips, SAMPLE_RATE, classifier)
    assert true["f1_50ms"] > 0.95
    assert true["f1_100ms"] >= true["f1_50ms"]
    assert true["loudness"] > 0.8
    assert true["brightness"] > 0.7
    assert true["class"] > 0.85
    assert other["f1_50ms"] < 0.4
    assert abs(other["loudness"]) < 0.4
    assert other["class"] < 0.2


def test_sound_that_comes_late_meets_the_wide_window_only(
    clips: list[BenchmarkClip], classifier: ReferenceClassifier
) -> None:
    late = [torch.roll(clip.waveform, round(0.075 * SAMPLE_RATE), dims=1) for clip in clips]
    scores = score(late, clips, SAMPLE_RATE, classifier)
    assert scores["f1_50ms"] < 0.4 < 0.8 < scores["f1_100ms"]


def test_only_clips_with_one_visible_source_count(
    clips: list[BenchmarkClip], classifier: ReferenceClassifier
) -> None:
    counts = score([clip.waveform for clip in clips], clips, SAMPLE_RATE, classifier)["num_clips"]
    clear = [clip for clip in clips if clip.source]
    assert counts["class"] == len(clear) < len(clips)
    assert counts["f1"] + counts["loudness"] == counts["class"]
    assert all(len(clip.truth["sources"]) == 1 for clip in clear)


def test_the_class_is_told_for_each_kind(clips: list[BenchmarkClip], classifier: ReferenceClassifier) -> None:
    scores = score([clip.waveform for clip in clips], clips, SAMPLE_RATE, classifier)
    counts = Counter(clip.source["kind"] for clip in clips if clip.source)
    assert scores["class_by_kind"].keys() == counts.keys()
    right = sum(counts[kind] * share for kind, share in scores["class_by_kind"].items())
    assert right / counts.total() == pytest.approx(scores["class"])


def test_a_partner_has_the_kind_and_not_the_class(clips: list[BenchmarkClip]) -> None:
    for clip, partner in zip(clips, partner_of(clips), strict=True):
        assert CLASSES[clips[partner].label].kind == CLASSES[clip.label].kind
        assert clips[partner].label != clip.label


def test_curves_follow_what_they_should() -> None:
    time = torch.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    swell = torch.linspace(0.01, 0.5, len(time))
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    rising = torch.sin(2 * torch.pi * torch.cumsum(300 + 200 * time, 0) / SAMPLE_RATE)
    for curve in (
        level_curve((swell * noise)[None], SAMPLE_RATE, rate=25),
        brightness_curve(rising[None], SAMPLE_RATE, rate=25),
    ):
        assert correlation(curve, torch.linspace(0, 1, len(curve))) > 0.95


def test_opus_and_the_distances(clips: list[BenchmarkClip]) -> None:
    truth = clips[0].waveform
    coded, bits = media.through_opus(truth, SAMPLE_RATE)
    assert coded.shape == truth.shape
    assert 1000 < bits < 12000
    same = distances([truth], [truth], SAMPLE_RATE)
    assert same["log_mel"] == 0
    assert same["si_sdr"] > 60
    worse = distances([coded], [truth], SAMPLE_RATE)
    assert worse["log_mel"] > 0
    assert worse["si_sdr"] < 60


def test_all_comparisons_are_made_unless_some_are_named() -> None:
    assert AblationOptions().what == [what for what, each in COMPARISONS.items() if each.config == "vab/demo"]


def test_every_model_of_every_comparison_is_a_configuration_of_its_own() -> None:
    for comparison in COMPARISONS.values():
        given = {"store": ["store"], "out": "out"}
        path, small = (
            ablation.CONFIGS / f"{comparison.config}.yaml",
            ablation.SMALL.get(comparison.config, {}),
        )
        made = []
        for changes in comparison.models.values():
            options = read_options(PretrainOptions, path, small, given, changes)
            folder = find_model(options.type)
            model = from_dict(folder.config, options.model, source="model")
            assert folder.objective_options is not None
            objective = from_dict(folder.objective_options, options.objective, source="objective")
            made.append((model, objective, options.training, options.data))
        assert all(made.count(each) == 1 for each in made)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the commands find each other's clips, features and sounds for the classifier, 4 s each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(material, "CLIP_SECONDS", 4.0)
        yield tmp_path_factory.mktemp("benchmark")


@pytest.mark.slow
def test_the_whole_benchmark_on_the_bundle(kept: Path) -> None:
    words = ["--clips", "9", "--classifier-clips", "54", "--steps", "2", "-o", str(kept)]
    assert cli.main(["evaluate", "demo", *words]) == 0
    document = json.loads((kept / "benchmark.json").read_text())
    assert document["conditions"]["num_clips"] == document["conditions"]["num_expected"] == 9
    assert document["systems"]["true sound"]["f1_50ms"] > 0.9
    assert document["systems"]["codec reconstruction"]["f1_50ms"] > 0.7
    assert document["codec"]["codec"]["log_mel"] > 0
    assert "all_masked/loss_with_vision" in document["tokens"]
    assert "data:audio/flac" in (kept / "benchmark.html").read_text()
    sounds = list((kept / "sounds").rglob("*.flac"))
    before = {path: path.stat().st_mtime_ns for path in sounds}
    assert cli.main(["evaluate", "demo", *words]) == 0  # goes on with what is there
    assert before == {path: path.stat().st_mtime_ns for path in sounds}


@pytest.mark.slow
def test_a_sweep_says_what_each_choice_gives_and_costs(kept: Path) -> None:
    words = ["--clips", "9", "--classifier-clips", "54", "-o", str(kept)]
    words += [
        "--steps",
        "1",
        "2",
        "--cfg-scale",
        "1",
        "--temperature",
        "0",
        "--best-of",
        "1",
        "2",
        "3",
        "--select",
        "consensus",
    ]
    assert cli.main(["evaluate", "sweep", *words]) == 0
    rows = json.loads((kept / "sweep.json").read_text())["rows"]
    assert [(row["option"], row["value"]) for row in rows] == [
        ("num_steps", 1),
        ("num_steps", 2),
        ("cfg_scale", 1),
        ("temperature", 0),
        ("best of", 1),
        ("best of", 2),
        ("best of", 3),
    ]
    assert all(row["seconds"] > 0 for row in rows)
    assert all(0 <= row["f1_50ms"] <= row["f1_100ms"] <= 1 for row in rows)
    assert (kept / "sweep.png").stat().st_size > 10_000


@pytest.mark.parametrize(("kind", "best"), [("vab-encoder", [0, 1, 1]), ("scav", [0, 0, 2])])
def test_the_selector_is_asked_once_for_all_numbers_of_samples(
    clips: list[BenchmarkClip], monkeypatch: pytest.MonkeyPatch, kind: str, best: list[int]
) -> None:
    asked: list[int] = []

    def choose(candidates: list[Any]) -> Choice:
        asked.append(len(candidates))
        return Choice(0, {"numbers": [each.waveform[0, 0].item() for each in candidates]})

    monkeypatch.setattr(
        sweep.vab, "load", lambda name, device: SimpleNamespace(card=SimpleNamespace(type=kind))
    )
    for selector in ("AgreementSelector", "SCAVSelector"):
        monkeypatch.setattr(sweep, selector, lambda weights: SimpleNamespace(choose=choose))
    samples = [[torch.full((1, 8), number)] * 2 for number in (2.0, 3.0, 1.0, 3.0)]
    chosen = sweep.choose(samples, clips[:2], SweepOptions(best_of=[1, 2, 4]))
    assert asked == [4, 4], "one clip at a time, all of its samples"
    assert chosen == [best, best]


def test_consensus_is_of_the_samples_that_there_are(clips: list[BenchmarkClip]) -> None:
    noise = torch.randn(3, 1, 16_000, generator=torch.Generator().manual_seed(0))
    samples = [[0.5 * noise[0]], [0.01 * noise[1]], [0.4 * noise[0]], [0.01 * noise[2]], [0.02 * noise[1]]]
    options = SweepOptions(best_of=[1, 3, 5], select="consensus")
    assert sweep.choose(samples, clips[:1], options) == [[0, 2, 4]]


def test_models_of_one_type_have_their_own_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def pretrain(options: Any) -> int:
        given.append(options)
        options.out.mkdir(parents=True, exist_ok=True)
        write_tiny_model(options.out / "model.safetensors")
        return 0

    monkeypatch.setattr(ablation, "pretrain", pretrain)
    monkeypatch.setattr(ablation, "measure", lambda folder, names, options: {"probe": 0.5})
    monkeypatch.setattr(ablation, "FeatureStore", lambda path: SimpleNamespace(select=lambda split: range(3)))
    words = ["v_aura_fusion", "v_aura_rate", "heads", "--steps", "7", "--store", "s", "-o", str(tmp_path)]
    assert cli.main(["evaluate", "ablation", *words]) == 0
    assert [(each.type, each.out.name) for each in given] == [
        ("v_aura", "v_aura-demo-common"),
        ("v_aura", "v_aura_fusion-prepend"),
        ("v_aura", "v_aura_rate-12.5"),
        ("v_aura", "v_aura_rate-2.5"),
        ("vab", "vab-demo-common"),
        ("vab", "heads-4"),
    ]
    assert given[1].model["fusion"] == "prepend" and given[1].model["num_layers"] == 3
    assert given[3].model["conditions"]["sync"] == {"width": 128, "rate": 2.5}
    assert [each.data.crop_seconds for each in given[:4]] == [2.56, 2.56, 2.56, 2.4]


def test_an_ablation_can_measure_retrieval_and_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one comparison: what differs, what is trained from what, and what stands in the JSON."""
    given: dict[str, list[Any]] = {"pretrain": [], "adapt": [], "finetune": []}

    def pretend(name: str) -> Callable[[Any], int]:
        def run(options: Any) -> int:
            given[name].append(options)
            options.out.mkdir(parents=True, exist_ok=True)
            write_tiny_model(options.out / "model.safetensors")
            mean = {"mean": {"mean_average_precision": 0.25}}
            (options.out / "metrics.json").write_text(json.dumps(mean))
            return 0

        return run

    for name in given:
        monkeypatch.setattr(ablation, name, pretend(name))
    found = SimpleNamespace(summaries={"visual to audio": SimpleNamespace(recall_1=0.5)}, num_clips=3)
    monkeypatch.setattr(ablation, "measure_retrieval", lambda options: found)
    monkeypatch.setattr(ablation, "FeatureStore", lambda path: SimpleNamespace(select=lambda split: range(3)))
    words = ["alibi", "--measure", "retrieval", "probe", "--steps", "7", "--store", "stores/demo"]
    assert cli.main(["evaluate", "ablation", *words, "-o", str(tmp_path)]) == 0
    assert [options.model["alibi"] for options in given["pretrain"]] == ["asymmetric", "time", "index"]
    assert {options.training.max_steps for options in given["pretrain"]} == {7}
    assert {options.model["num_layers"] for options in given["pretrain"]} == {4}
    for adapted, probed in zip(given["adapt"], given["finetune"], strict=True):
        assert adapted.weights == probed.init and probed.freeze and probed.modality == "visual"
    document = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["value"] for row in document["rows"]] == ["asymmetric", "time", "index"]
    assert all(
        row["retrieval"]["visual to audio"] == 0.5 and row["probe"] == 0.25 for row in document["rows"]
    )
    assert document["conditions"]["command"].startswith("vab evaluate ablation alibi")
    assert document["conditions"]["num_clips"] == 3
