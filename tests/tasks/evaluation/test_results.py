"""The page of results: what stands in it is what the measurements' files say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks import cli
from tasks.evaluation.results import page

DOCS = Path(__file__).parents[3] / "docs"
FILES = sorted((DOCS / "results").glob("*.json"))
CONDITIONS: dict[str, Any] = {
    "clips": "store/test",
    "num_clips": 7,
    "num_expected": 8,
    "clip_seconds": 10.0,
    "codec": "spectral-16khz",
    "frame_rate": 50.0,
    "visual_fps": 8.0,
    "sampling": {"num_steps": 16, "cfg_scale": 5.0, "stride_seconds": None},
    "seed": 0,
    "device": "cpu",
    "command": "vab evaluate demo",
    "weights": "demo",
    "vab": "0.1.0+gabc",
    "date": "2026-01-01",
}


def write(folder: Path, template: str, **documents: dict[str, Any]) -> None:
    (folder / "template.md").write_text(template)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps({"conditions": CONDITIONS, **document}))


def test_the_page_is_what_the_command_writes(tmp_path: Path) -> None:
    written = tmp_path / "results.md"
    assert cli.main(["evaluate", "results", "--source", str(DOCS / "results"), "-o", str(written)]) == 0
    assert written.read_text() == (DOCS / "results.md").read_text(), "run 'vab evaluate results'"


def test_every_measurement_that_is_kept_is_shown_and_carries_its_conditions() -> None:
    template = (DOCS / "results" / "template.md").read_text()
    used = {
        name
        for place in re.findall(r"\{\{ (.*?) \}\}", template)
        for name in (place.split()[1:] if place.startswith("table ") else [place.split(":")[0]])
    }
    assert used == {path.stem for path in FILES}
    for path in FILES:
        conditions = json.loads(path.read_text())["conditions"]
        assert {"clips", "num_clips", "num_expected", "command", "seed", "device"} <= conditions.keys(), path


def test_tables_numbers_and_conditions(tmp_path: Path) -> None:
    counts = {"f1": 3, "loudness": 2, "brightness": 1, "class": 5}
    row = {"f1_50ms": 0.5, "f1_100ms": 0.75, "loudness": 0.1, "brightness": 0.2, "class": 0.6}
    write(
        tmp_path,
        "{{ table a }}\n{{ a: systems.ours.class / systems.ours.f1_50ms | .1f }} {{ a: systems.ours.class | .0% }}",
        a={"benchmark": "demo", "systems": {"ours": {**row, "num_clips": counts}}},
    )
    text = page(tmp_path)
    assert "| ours | 0.500 | 0.750 | 0.10 | 0.20 | 60.0 % |" in text
    assert "F1 ±50 ms (3 clips)" in text and "class (5 clips)" in text
    assert text.endswith("1.2 60 %")
    for told in ("7 of 8 clips of 10 s", "num_steps 16, cfg_scale 5", "`vab evaluate demo`", "0.1.0+gabc"):
        assert told in text


def test_what_one_clip_costs_stands_beside_the_generated_sound(tmp_path: Path) -> None:
    counts = {"f1": 3, "class": 5}
    row = {"f1_50ms": 0.5, "class": 0.6, "num_clips": counts}
    systems = {"true sound": row, "generated": row}
    write(tmp_path, "{{ table a }}", a={"benchmark": "demo", "systems": systems, "seconds_a_clip": 2.34})
    text = page(tmp_path)
    assert "| true sound | 0.500 | 60.0 % |  |" in text and "| generated | 0.500 | 60.0 % | 2.3 |" in text


def test_of_several_systems_what_each_generated_stands_in_a_row(tmp_path: Path) -> None:
    def measured(weights: str, share: float) -> dict[str, Any]:
        row = {"f1_50ms": share, "class": share, "num_clips": {"f1": 3, "class": 5}}
        systems = {"true sound": {**row, "f1_50ms": 1.0}, "generated": row}
        return {"benchmark": "demo", "systems": systems, "conditions": {**CONDITIONS, "weights": weights}}

    write(tmp_path, "{{ table a b }}", a=measured("demo", 0.5), b=measured("w/tiva.safetensors", 0.25))
    text = page(tmp_path)
    assert "| demo | 0.500 | 50.0 % |" in text and "| tiva | 0.250 | 25.0 % |" in text
    assert "true sound" not in text


def test_edited_layouts_and_curation(tmp_path: Path) -> None:
    counts = {"f1": 3, "class": 5}
    every: dict[str, Any] = {"min_similarity": None, "num_kept": 10, "precision": None, "recall": 0.0}
    row = {**every, "f1_50ms": 0.5, "class": 0.25, "num_clips": counts}
    good = {**row, "min_similarity": 0.3, "num_kept": 7, "precision": 0.5, "recall": 1.0}
    write(
        tmp_path,
        "{{ table a }} {{ table b }}",
        a={"benchmark": "layout", "edits": {"moved": {"before": 0.05, "after": 0.9}}},
        b={"benchmark": "curation", "rows": [row, good]},
    )
    text = page(tmp_path)
    assert "| moved | 5 % | 90 % |" in text
    assert "| all clips | 10 |  | 0.0 % | 0.500 | 25.0 % |" in text
    assert "| 0.3 and more | 7 | 50.0 % | 100.0 % | 0.500 | 25.0 % |" in text


def test_ablations_with_other_measures(tmp_path: Path) -> None:
    rows = [{"what": "alibi", "value": "index", "retrieval": {"visual to audio": 0.25}, "probe": 0.5}]
    write(tmp_path, "{{ table a }}", a={"benchmark": "ablation", "rows": rows})
    assert "| alibi index | 0.250 | 0.500 |" in page(tmp_path)


def test_ablations_of_layouts(tmp_path: Path) -> None:
    predicted = {"what": "p", "value": "near", "prediction": {"loss": 0.01, "loss_of_mean": 0.04}}
    followed = {"what": "l", "value": "none", "onset_curves": {"wasserstein": 0.25, "dtw": 2.5}}
    documents = {
        name: {"benchmark": "ablation", "rows": [row]} for name, row in (("a", predicted), ("b", followed))
    }
    write(tmp_path, "{{ table a }}\n\n{{ table b }}", **documents)
    text = page(tmp_path)
    assert "| error, of the mean layout's |" in text and "| p near | 0.250 |" in text
    assert "| W-dis, s | DTW-dis |" in text and "| l none | 0.250 | 2.500 |" in text


@pytest.mark.parametrize(
    "place", ["table absent", "absent: metrics.loss", "a: metrics.absent", "a: metrics.loss | q"]
)
def test_what_cannot_be_filled_in_is_one_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, f"{{{{ {place} }}}}", a={"benchmark": "tokens", "metrics": {"loss": 1.0}})
    out = tmp_path / "out.md"
    assert cli.main(["evaluate", "results", "--source", str(tmp_path), "-o", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and str(tmp_path) in error and not out.exists()


def test_profiles_are_shares_of_each_run(tmp_path: Path) -> None:
    runs = [
        {"model": "vab/a", "seconds": {"product": 6.0, "norm": 3.96, "view": 0.04}},
        {"model": "vab/b", "seconds": {"attention": 1.0, "product": 1.0}},
    ]
    profile = {"benchmark": "profile", "what": "generate", "models": runs}
    write(
        tmp_path, "{{ table p }}", p=profile | {"conditions": CONDITIONS | {"device": "cpu, 2 threads, int8"}}
    )
    text = page(tmp_path)
    assert "| operation | generate, vab/a, int8 | generate, vab/b, int8 |" in text
    assert "| `product` | 60.0 % | 50.0 % |" in text
    assert "| `attention` |  | 50.0 % |" in text
    assert "| others | 0.4 % | 0.0 % |" in text and "view" not in text


def test_codecs(tmp_path: Path) -> None:
    row = {"system": "opus", "bits_per_second": 6000.4, "tone_share": 0.9, "pitch_error_cents": 3.2}
    write(
        tmp_path,
        "{{ table a }}",
        a={"benchmark": "codec", "systems": [{**row, "log_mel_distance": {"/data/real": 5.432}}]},
    )
    assert "log-mel, real, dB" in page(tmp_path)
    assert "| opus | 6000 | 0.900 | 3 | 5.43 |" in page(tmp_path)
