"""A folder against a folder: perfect on itself, and a broken set told file by file."""

import json
import math
from pathlib import Path

import pytest
import torch
from made_sounds import strikes
from scipy.io import wavfile
from tiny import write_tiny_clip

from vab.codecs import load_codec
from vab.errors import ManifestError, MediaError, WeightsError
from vab.media import find_sample_faults, write_audio
from vab.metrics.evaluation import EvaluationError, evaluate
from vab.metrics.pairing import find_pairs, inspect
from vab.metrics.published import Tagging
from vab.metrics.scorer import Column, Scorer
from vab.metrics.scorers import (
    AgreementScorer,
    CepstrumScorer,
    ClassScorer,
    CodecScorer,
    EventScorer,
    OnsetScorer,
    SpectrumScorer,
    TaggerScorer,
)

RATE = 16_000
TIMES = {"a": [0.3, 0.9, 1.5], "b": [0.5, 1.7], "c": [0.2, 0.65, 1.1, 1.4]}


def write(folder, name, waveform, *, sample_rate=RATE):
    folder.mkdir(exist_ok=True)
    write_audio(folder / name, [waveform], sample_rate)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    for name, times in TIMES.items():
        write(tmp_path / "true", f"{name}.wav", strikes(times, seconds=2.0))
        events = [{"time": time, "strength": 1.0, "source": 0} for time in times]
        (tmp_path / "true" / f"{name}.json").write_text(json.dumps({"events": events}))
    return tmp_path / "true"


def scorers():
    return [OnsetScorer(), EventScorer(), SpectrumScorer(), CepstrumScorer()]


PERFECT = {
    "onset_f1": 1,
    "onset_precision": 1,
    "onset_recall": 1,
    "onset_ap": 1,
    "onset_count_accuracy": 1,
    "odf_w": 0,
    "odf_dtw": 0,
    "event_f1": 1,
    "event_precision": 1,
    "event_recall": 1,
    "event_f1_of_truth": 1,
    "log_mel": 0,
    "multi_stft": 0,
    "novelty": 1,
    "fdm": 0,
}


def test_truth_against_itself_is_perfect(reference: Path) -> None:
    report = evaluate(reference, reference, [*scorers(), CodecScorer(load_codec("tiny-encodec"))])
    assert {name: number.value for name, number in report.numbers.items()} == pytest.approx(
        {**PERFECT, "fdd": 0}, abs=1e-6
    )
    assert report.problems == ()
    assert any("3 clips, fewer than" in warning for warning in report.warnings)


def test_everything_is_worse_100_ms_late_and_worst_for_another_clip(reference: Path, tmp_path: Path) -> None:
    names = list(TIMES)
    for index, name in enumerate(names):
        write(tmp_path / "late", f"{name}.wav", strikes([time + 0.1 for time in TIMES[name]], seconds=2.0))
        other = strikes(TIMES[names[index - 1]], seconds=2.0)
        write(tmp_path / "other", f"{name}.wav", other)
    late, other = (evaluate(tmp_path / each, reference, scorers()).numbers for each in ("late", "other"))
    assert late["odf_w"].value == pytest.approx(0.1, abs=0.01)
    assert late["event_f1"].value == 0
    assert late["event_f1_of_truth"].value == 1
    for name in ("odf_dtw", "odf_w"):
        assert 0 < late[name].value < other[name].value, name
    # The same sounds in another order: a distance of sets cannot tell.
    assert other["fdm"].value == pytest.approx(0, abs=1e-6)
    window = [OnsetScorer(window=0.15)]
    assert evaluate(tmp_path / "late", reference, window).numbers["onset_f1"].value == 1


def test_silence_and_noise_score_badly_and_finitely(reference: Path, tmp_path: Path) -> None:
    for name in TIMES:
        write(tmp_path / "silence", f"{name}.wav", torch.zeros(1, 2 * RATE))
        noise = 0.1 * torch.randn(1, 2 * RATE, generator=torch.Generator().manual_seed(0))
        write(tmp_path / "noise", f"{name}.wav", noise)
    for folder in ("silence", "noise"):
        report = evaluate(tmp_path / folder, reference, scorers(), on_problem="count")
        assert all(math.isfinite(number.value) for number in report.numbers.values())
        assert report.numbers["onset_f1"].value == 0
        assert report.numbers["novelty"].value < 0.5
        assert report.numbers["fdm"].value > 100
        kinds = {problem.kind for problem in report.problems}
        assert kinds == ({"silent"} if folder == "silence" else set())


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """One clip for each thing that can be wrong."""
    true, made = tmp_path / "all", tmp_path / "made"
    for name in ("good", "fine", "empty", "silent", "short", "rate", "text", "missing", "twice"):
        write(true, f"{name}.flac", strikes([0.5], seconds=2.0))
        if name != "missing":
            write(made, f"{name}.flac", strikes([0.5], seconds=2.0))
    (made / "empty.flac").write_bytes(b"")
    (made / "text.flac").write_text("not sound")
    write(made, "silent.flac", torch.zeros(1, 2 * RATE))
    write(made, "short.flac", strikes([0.5], seconds=1.0))
    write(made, "rate.flac", strikes([0.5], seconds=2.0, sample_rate=44_100), sample_rate=44_100)
    write(made, "extra.flac", strikes([0.5], seconds=2.0))
    write(made, "twice.wav", strikes([0.5], seconds=2.0))
    return tmp_path


BROKEN = {
    ("missing", "missing"),
    ("twice", "ambiguous"),
    ("extra", "extra"),
    ("empty", "empty"),
    ("text", "unreadable"),
    ("silent", "silent"),
    ("short", "wrong length"),
    ("rate", "wrong rate"),
}


def test_a_broken_set_is_refused_with_every_problem(broken: Path) -> None:
    with pytest.raises(EvaluationError, match=r"of 9 clips: .*1 missing.*--on-problem count") as caught:
        evaluate(broken / "made", broken / "all", [OnsetScorer()])
    assert {(problem.id, problem.kind) for problem in caught.value.problems} == BROKEN
    assert {problem.side for problem in caught.value.problems} == {"generated"}


def test_a_broken_set_is_counted_and_nothing_takes_anothers_place(broken: Path) -> None:
    report = evaluate(broken / "made", broken / "all", [OnsetScorer()], on_problem="count")
    assert {(problem.id, problem.kind) for problem in report.problems} == BROKEN
    assert report.num_expected == 9
    scores = {clip.pair.id: clip.numbers["onset_f1"] for clip in report.clips}
    assert scores == {"fine": 1, "good": 1, "rate": 1, "short": 1, "silent": 0}
    assert report.numbers["onset_f1"].num_clips == 5


def write_floats(path: Path, samples: torch.Tensor) -> None:
    """32-bit floats as they are, which :func:`write_audio` refuses to write."""
    wavfile.write(path, RATE, samples.numpy())


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Sound that decodes, and that a reader would repair in silence."""
    true, made = tmp_path / "all", tmp_path / "made"
    for name in ("good", "nan", "inf", "loud", "blink"):
        write(true, f"{name}.wav", strikes([0.5], seconds=0.02 if name == "blink" else 1.0))
        write(made, f"{name}.wav", strikes([0.5], seconds=0.02 if name == "blink" else 1.0))
    samples = strikes([0.5], seconds=1.0)[0]
    for name, value in (("nan", math.nan), ("inf", -math.inf)):
        written = samples.clone()
        written[100:110] = value
        write_floats(made / f"{name}.wav", written)
    write_floats(made / "loud.wav", 40 / samples.abs().max() * samples)
    return tmp_path


def test_damaged_sound_is_told_and_never_repaired(damaged: Path) -> None:
    report = evaluate(damaged / "made", damaged / "all", scorers(), on_problem="count")
    found = {(problem.id, problem.side): (problem.kind, problem.detail) for problem in report.problems}
    assert found.pop(("loud", "generated"))[1].endswith("up to 32.0 dB over full scale; measured clipped")
    assert found == {
        ("nan", "generated"): ("not finite", "10 samples"),
        ("inf", "generated"): ("not finite", "10 samples"),
        ("blink", "generated"): ("too short", "0.020 s, less than 0.1 s"),
        ("blink", "reference"): ("too short", "0.020 s, less than 0.1 s"),
    }
    assert {clip.pair.id for clip in report.clips} == {"good", "loud"}
    with pytest.raises(EvaluationError, match=r"2 not finite .*1 overloaded .*2|1 too short"):
        evaluate(damaged / "made", damaged / "all", scorers())


def test_damage_outside_the_clip_does_not_count(damaged: Path) -> None:
    path = damaged / "made" / "nan.wav"
    assert find_sample_faults(path).num_not_finite == 10
    assert find_sample_faults(path, start=105 / RATE).num_not_finite == 5
    assert find_sample_faults(path, duration=103 / RATE).num_not_finite == 3
    assert find_sample_faults(path, start=0.5, duration=0.2).num_not_finite == 0


class FailingScorer(Scorer):
    """Fails on one clip in a way that nobody foresaw."""

    columns = {"seconds": Column("s", True)}  # noqa: RUF012

    def __init__(self, error: Exception) -> None:
        self.error = error

    def add(self, sound):
        if sound.pair.id == "b":
            raise self.error
        return {"seconds": sound.seconds}


def test_whatever_fails_on_one_clip_is_that_clips_problem(reference: Path) -> None:
    failing = FailingScorer(MemoryError("too large"))
    report = evaluate(reference, reference, [OnsetScorer(), failing], on_problem="count")
    [problem] = report.problems
    assert (problem.id, problem.kind) == ("b", "not measured")
    assert problem.detail == "FailingScorer: MemoryError: too large"
    assert report.numbers["seconds"].num_clips == 2
    assert report.numbers["onset_f1"].num_clips == 3
    with pytest.raises(EvaluationError, match="1 not measured"):
        evaluate(reference, reference, [failing])
    with pytest.raises(WeightsError):
        evaluate(reference, reference, [FailingScorer(WeightsError("absent"))], on_problem="count")


def test_nothing_to_measure_is_an_error_either_way(reference: Path, tmp_path: Path) -> None:
    write(tmp_path / "made", "stranger.wav", strikes([0.5], seconds=2.0))
    with pytest.raises(EvaluationError, match="no clip can be measured"):
        evaluate(tmp_path / "made", reference, scorers(), on_problem="count")
    with pytest.raises(ManifestError, match="no such folder"):
        evaluate(tmp_path / "nowhere", reference, scorers())
    (tmp_path / "bare").mkdir()
    with pytest.raises(ManifestError, match="holds no video or sound"):
        evaluate(tmp_path / "bare", reference, scorers())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "# two of them\na\nc\n"),
        ("list.csv", "id,label\na,x\nc,y\n"),
        ("paths.csv", "id,path,split\na,true/a.wav,test\nb,true/b.wav,train\nc,true/c.wav,test\n"),
    ],
)
def test_a_list_says_which_clips(reference: Path, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    split = "test" if "split" in text else None
    pairing = find_pairs(reference, reference, wanted=tmp_path / name, split=split)
    assert [pair.id for pair in pairing.pairs] == ["a", "c"]
    assert [(problem.id, problem.kind) for problem in pairing.problems] == [("b", "extra")]
    assert pairing.num_expected == 2


def test_a_listed_clip_without_a_file_is_missing_on_both_sides(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a\nb\nc\nd\n")
    pairing = find_pairs(reference, reference, wanted=tmp_path / "list.txt")
    assert [(p.id, p.kind, p.side) for p in pairing.problems] == [
        ("d", "missing", "generated"),
        ("d", "missing", "reference"),
    ]


def test_sound_as_long_as_the_pictures_is_not_wrong(tmp_path: Path) -> None:
    write_tiny_clip(tmp_path / "true" / "a.mp4", 2.0)
    write(tmp_path / "made", "a.wav", strikes([0.5], seconds=2.0))
    [pair] = find_pairs(tmp_path / "made", tmp_path / "true").pairs
    inspection = inspect(pair)
    assert inspection.problems == ()
    assert inspection.sample_rate == RATE
    assert inspection.pair is not None
    assert inspection.pair.reference.duration == pytest.approx(2.0, abs=0.1)


def test_clips_without_events_have_no_event_score(reference: Path) -> None:
    (reference / "a.json").write_text('{"events": []}')
    (reference / "b.json").unlink()
    report = evaluate(reference, reference, [EventScorer()])
    assert report.numbers["event_f1"].num_clips == 1
    (reference / "a.json").write_text('{"events": [1]}')
    with pytest.raises(EvaluationError, match=r"1 not measured .*a\.json"):
        evaluate(reference, reference, [EventScorer()])


class LoudnessClassifier:
    """Hears whether a clip has three strikes or another number."""

    name, sample_rate, classes = "by number", RATE, ["three", "other"]

    def probabilities(self, waveform):
        from vab.metrics.onsets import detect_onsets

        is_three = len(detect_onsets(waveform, self.sample_rate)) == 3
        return torch.tensor([0.9, 0.1] if is_three else [0.1, 0.9])


def test_classes_by_any_classifier(reference: Path, tmp_path: Path) -> None:
    rows = [f"{name},true/{name}.wav,{'three' if name == 'a' else 'other'}" for name in TIMES]
    (tmp_path / "list.csv").write_text("\n".join(["id,path,label", *rows]) + "\n")
    for name in TIMES:
        write(tmp_path / "made", f"{name}.wav", strikes([0.3, 0.9, 1.5], seconds=2.0))
    numbers = evaluate(
        tmp_path / "made", reference, [ClassScorer(LoudnessClassifier())], wanted=tmp_path / "list.csv"
    ).numbers
    assert numbers["accuracy"].value == pytest.approx(1 / 3)
    assert numbers["accuracy_of_truth"].value == 1
    assert numbers["kl"].value == pytest.approx(2 / 3 * 0.8 * math.log(9), rel=1e-4)
    assert numbers["inception_score"].value == pytest.approx(1)


class CountingTagger:
    """Hears the number of strikes: two, or another; its embedding is loudness and that number."""

    sample_rate = RATE

    def __call__(self, waveform):
        from vab.metrics.onsets import detect_onsets

        number = len(detect_onsets(waveform, self.sample_rate))
        probabilities = torch.tensor([0.8, 0.2] if number == 2 else [0.2, 0.8])
        return Tagging(probabilities, torch.tensor([waveform.abs().mean().item(), float(number)]))


def test_published_networks_give_divergence_variety_and_distance(reference: Path, tmp_path: Path) -> None:
    same = evaluate(reference, reference, [TaggerScorer("panns", CountingTagger())])
    assert {name: number.value for name, number in same.numbers.items()} == pytest.approx(
        {"kl_panns": 0, "inception_score_panns": 1.188, "fd_panns": 0}, abs=1e-3
    )
    for name in TIMES:
        write(tmp_path / "made", f"{name}.wav", strikes([0.3, 1.2], seconds=2.0))
    report = evaluate(tmp_path / "made", reference, [TaggerScorer("passt", CountingTagger())])
    # Two of the three true clips have another number of strikes: KL((.2, .8) || (.8, .2)) each.
    assert report.numbers["kl_passt"].value == pytest.approx(2 / 3 * 0.6 * math.log(4), rel=1e-4)
    assert report.numbers["inception_score_passt"].value == pytest.approx(1)
    assert report.numbers["fd_passt"].value > 0.5
    assert report.settings == {"passt_sample_rate": RATE, "passt_probabilities": "softmax"}
    assert report.warnings == ()
    one = TaggerScorer("panns", CountingTagger())
    only = tmp_path / "only"
    write(only, "a.wav", strikes([0.3], seconds=2.0))
    assert "1 clips for 2 features" in evaluate(only, only, [one]).warnings[0]


class LengthEmbedder:
    """Embeds by what the file name or the sound's loudness says."""

    provenance = {"weights": "by hand"}  # noqa: RUF012
    codec = load_codec("tiny-encodec")

    def encode_video(self, video, *, start=0.0, duration=None):
        if Path(video).suffix == ".wav":
            raise MediaError(f"{video}: no pictures")
        return torch.tensor([[0.0, 1.0]])

    def agreement(self, audio, visual):
        sound = torch.tensor([audio.abs().mean().item() * 100, 1.0])
        return torch.cosine_similarity(sound, visual[0], dim=0).item()


def test_agreement_needs_pictures(tmp_path: Path) -> None:
    write_tiny_clip(tmp_path / "true" / "a.mp4", 2.0)
    for folder in ("true", "made"):
        write(tmp_path / folder, "b.wav", strikes([0.5], seconds=2.0))
    write(tmp_path / "made", "a.wav", 1e-2 * strikes([0.5], seconds=2.0))
    numbers = evaluate(tmp_path / "made", tmp_path / "true", [AgreementScorer(LengthEmbedder())]).numbers
    assert numbers["agreement"].num_clips == 1
    assert numbers["agreement"].value > 0.99 > numbers["agreement_of_truth"].value
