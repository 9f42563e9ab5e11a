"""``vab evaluate generation``: what is printed, written and refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_sounds import strikes
from tiny import tiny_config, write_tiny_clip, write_tiny_model
from toy_imagebind import imagebind_state
from toy_synchformer import synchformer_state

from tasks import cli
from vab.config import to_dict
from vab.media import write_audio
from vab.models.files import load_model, save_model
from vab.models.vab.classifier import MODEL_TYPE, VABClassifier, VABClassifierConfig

RATE = 16_000


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for index in range(3):
        for side, delay in (("true", 0.0), ("made", 0.02 * index)):
            (tmp_path / side).mkdir(exist_ok=True)
            times = [0.3 + 0.2 * index + delay, 1.2 + delay]
            write_audio(tmp_path / side / f"clip {index}.flac", [strikes(times, seconds=2.0)], RATE)
    settings = {"seed": 0, "sampling": {"num_steps": 16}, "weights": "demo", "seconds": 2.0}
    for index in range(3):
        (tmp_path / "made" / f"clip {index}.flac.json").write_text(
            json.dumps(settings | {"seed": index // 2})
        )
    return tmp_path


def words(folder: Path, *more: str) -> list[str]:
    return [
        *("evaluate", "generation", "--generated", str(folder / "made"), "--reference", str(folder / "true")),
        *("-o", str(folder / "out" / "report.json"), "--device", "cpu", *more),
    ]


def test_report_has_what_each_number_must_carry(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words(folders, "--metrics", "onsets", "spectra", "--rank-by", "odf_w")) == 0
    report = json.loads((folders / "out" / "report.json").read_text())
    assert report["clips_expected"] == report["clips_measured"] == 3
    assert report["metrics"]["onset_f1"] == {
        "value": 1.0, "clips": 3, "interval_95": 0.0, "unit": "", "higher_is_better": True,
    }  # fmt: skip
    assert report["metrics"]["odf_w"]["value"] == pytest.approx(0.02, abs=0.005)
    assert report["clip_seconds"]["median"] == 2.0
    assert (report["onset_threshold_db"], report["onset_window_seconds"]) == (4.0, 0.05)
    assert report["generation"] == {"weights": "demo", "seed": [0, 1], "sampling": {"num_steps": 16}}
    assert "--metrics onsets spectra" in report["command"]
    assert report["device"] == "cpu"
    assert {clip["id"] for clip in report["clips"]} == {f"clip {index}" for index in range(3)}
    assert "fdm" not in report["metrics"]
    shown = capsys.readouterr().out
    assert "onset_f1" in shown
    assert "3 of 3 clips" in shown


def test_page_ranks_and_links(folders: Path) -> None:
    assert cli.main(words(folders, "--metrics", "onsets", "--rank-by", "odf_w")) == 0
    page = (folders / "out" / "report.html").read_text()
    assert re.findall(r"<h3>(.*?)</h3>", page) == ["clip 0", "clip 1", "clip 2"]
    links = re.findall(r'<audio controls preload="metadata" src="(.*?)"', page)
    assert links[0] == "../made/clip%200.flac"
    assert page.count("data:image/png;base64,") == 3


def test_thresholds_and_windows_are_two_numbers(folders: Path) -> None:
    def f1(*more: str) -> float:
        assert cli.main(words(folders, "--metrics", "onsets", "--rank-by", "onset_f1", *more)) == 0
        return json.loads((folders / "out" / "report.json").read_text())["metrics"]["onset_recall"]["value"]

    assert f1() == 1
    assert f1("--onset-window", "0.015") == pytest.approx(1 / 3)
    assert f1("--onset-threshold", "90") == 1  # nothing is heard on either side


def test_a_problem_is_refused_in_one_line_and_listed(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "made" / "clip 1.flac").unlink()
    write_audio(folders / "made" / "clip 2.flac", [torch.zeros(1, 2 * RATE)], RATE)
    assert cli.main(words(folders, "--metrics", "onsets", "--rank-by", "odf_w")) == 2
    captured = capsys.readouterr()
    [line] = [line for line in captured.err.splitlines() if line.startswith("vab evaluate generation:")]
    assert "1 missing (generated), 1 silent (generated)" in line
    report = json.loads((folders / "out" / "report.json").read_text())
    assert [problem["kind"] for problem in report["problems"]] == ["missing", "silent"]
    assert "metrics" not in report

    assert cli.main(words(folders, "--metrics", "onsets", "--rank-by", "odf_w", "--on-problem", "count")) == 0
    report = json.loads((folders / "out" / "report.json").read_text())
    assert (report["clips_expected"], report["clips_measured"]) == (3, 2)
    assert len(report["problems"]) == 2


def test_weights_of_ones_own_give_the_rest(tmp_path: Path) -> None:
    for side, seed in (("true", 0), ("made", 1)):
        for index in range(2):
            write_tiny_clip(tmp_path / side / f"clip {index}.mp4", 1.0, seed=10 * seed + index)
    (tmp_path / "list.csv").write_text(
        "id,path,label\nclip 0,true/clip 0.mp4,rain\nclip 1,true/clip 1.mp4,dog\n"
    )
    weights = str(write_tiny_model(tmp_path / "vab.safetensors"))
    model = VABClassifier(VABClassifierConfig(["dog", "rain"], "audio", tiny_config()))
    card = replace(load_model(Path(weights))[1], type=MODEL_TYPE, config=to_dict(model.config))
    save_model(tmp_path / "classes.safetensors", model, card)
    more = ["--codec", "tiny-encodec", "--contrastive", weights, "--list", str(tmp_path / "list.csv")]
    more += [
        "--classifier",
        str(tmp_path / "classes.safetensors"),
        "--metrics",
        "onsets",
        "--rank-by",
        "agreement",
    ]
    assert cli.main(words(tmp_path, *more)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    numbers = {name: number["value"] for name, number in report["metrics"].items()}
    assert -1 <= numbers["agreement"] <= 1
    assert numbers["agreement"] != numbers["agreement_of_truth"]
    assert numbers["fdd"] > 0
    # A head of zeros cannot tell anything from anything.
    assert (numbers["kl"], numbers["inception_score"]) == (pytest.approx(0), pytest.approx(1))
    assert numbers["accuracy"] == 0
    assert report["fdd_codec"] == "tiny-encodec"
    assert report["agreement_weights_sha256"]
    assert report["list_sha256"]


def test_imagebind_measures_pictures_and_says_its_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, seed in (("true", 0), ("made", 1)):
        write_tiny_clip(tmp_path / side / "clip.mp4", 1.0, seed=seed)
    torch.save(imagebind_state(), tmp_path / "imagebind.pth")
    more = ["--imagebind", str(tmp_path / "imagebind.pth"), "--metrics", "spectra"]
    assert cli.main(words(tmp_path, *more)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    numbers = {name: number["value"] for name, number in report["metrics"].items()}
    assert -1 <= numbers["imagebind"] <= 1
    assert numbers["imagebind"] != numbers["imagebind_of_truth"]
    assert report["weights_licences"] == {"imagebind": "CC-BY-NC-SA-4.0"}
    assert "measured with imagebind, licence CC-BY-NC-SA-4.0" in capsys.readouterr().out


def test_synchformer_measures_time_and_says_what_is_too_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in (("long", 5.0), ("short", 1.0)):
        for side, seed in (("true", 0), ("made", 1)):
            write_tiny_clip(tmp_path / side / f"{name}.mp4", seconds, seed=seed)
    torch.save(synchformer_state(), tmp_path / "synchformer.pth")
    more = ["--synchformer", str(tmp_path / "synchformer.pth"), "--metrics", "spectra"]
    assert cli.main(words(tmp_path, *more)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    numbers = report["metrics"]
    assert (numbers["desync"]["clips"], numbers["sync"]["clips"]) == (1, 2)
    assert 0 <= numbers["desync"]["value"] <= 2
    assert 0 <= numbers["sync"]["value"] <= 2000
    assert "desync: not measured on 1 clips of less than 4.8 s: short" in report["warnings"]
    assert "CC-BY-NC-4.0" in report["weights_licences"]["synchformer"]
    assert "measured with synchformer, licence MIT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--synchformer", "absent.pth"], "absent.pth: neither a file nor the name of weights"),
        (["--imagebind", "absent.pth"], "absent.pth: neither a file nor the name of weights"),
        (["--wav2clip", "absent.pt"], "absent.pt: neither a file nor the name of weights"),
        (["--clip", "openai"], "give --wav2clip too"),
    ],
)
def test_published_weights_that_are_absent_are_one_line(
    folders: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert cli.main(words(folders, "--metrics", "onsets", *more)) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_rank_is_one_line(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words(folders, "--metrics", "onsets", "--rank-by", "log_mel")) == 2
    assert "--rank-by log_mel: not measured here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metrics", "heading"),
    [("onsets", "Best by odf_dtw"), ("spectra", "Best by multi_stft"), ("cepstra", "Clips")],
)
def test_the_page_ranks_by_a_metric_that_can_be_trusted(folders: Path, metrics: str, heading: str) -> None:
    assert cli.main(words(folders, "--metrics", metrics)) == 0
    assert re.findall("<h2>(.*?)</h2>", (folders / "out" / "report.html").read_text()) == [heading]


def test_peers_are_ordered_sensibly(shared_data: Path, tmp_path: Path) -> None:
    """Truth against itself is perfect, another clip's sound is worst, a published system lies between."""
    clips = sorted(path for path in (shared_data / "peers").iterdir() if path.is_dir())
    for index, clip in enumerate(clips):
        other = clips[(index + 1) % len(clips)]
        sounds = {
            "true": clip / "reference.mp4",
            "same": clip / "reference.mp4",
            "system": clip / "frieren.flac",
            "other": other / "reference.mp4",
        }
        for name, path in sounds.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{clip.name}{path.suffix}").symlink_to(path)
    numbers = {}
    for name in ("same", "system", "other"):
        (tmp_path / "made").unlink(missing_ok=True)
        (tmp_path / "made").symlink_to(tmp_path / name)
        assert (
            cli.main(words(tmp_path, "--on-problem", "count", "--metrics", "onsets", "--rank-by", "odf_w"))
            == 0
        )
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        numbers[name] = {metric: number["value"] for metric, number in report["metrics"].items()}
    for metric in ("odf_w", "odf_dtw"):
        assert numbers["same"][metric] == 0
        assert 0 < numbers["system"][metric] < numbers["other"][metric]
    assert 1 == numbers["same"]["onset_f1"] > numbers["system"]["onset_f1"] > numbers["other"]["onset_f1"]
