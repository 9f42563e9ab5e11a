"""``vab classify`` from the outside: labels, timeline, JSON, bad files; and a store with missing and broken files."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny import extract_tiny, write_tiny_classifier, write_tiny_clip, write_tiny_model

from tasks.cli import main
from vab.media import write_audio
from vab.models.vab.classifier import Modality

CLASSES = ["dog", "rain", "siren", "wheel", "hum", "hiss", "bell"]


def _write_classifier(folder: Path, modality: Modality) -> Path:
    return write_tiny_classifier(folder / f"{modality}.safetensors", modality, CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify")
    write_tiny_clip(folder / "clip.mp4", 3.3)
    write_tiny_clip(folder / "silent.mp4", 1.0, has_sound=False)
    write_audio(folder / "sound.wav", torch.randn(1, 24000) * 0.1, 16000)
    (folder / "bad.mp4").write_text("not a video")
    return folder


def test_labels_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = _write_classifier(folder, "both")
    assert main(["classify", str(folder / "clip.mp4"), "--weights", str(weights), "--top", "3"]) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"{folder / 'clip.mp4'}: ")
    assert line.count(",") == 2 and any(name in line for name in CLASSES)


def test_a_timeline_as_json_and_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = _write_classifier(folder, "audio")
    words = ["classify", str(folder / "clip.mp4"), str(folder / "sound.wav"), "--weights", str(weights)]
    assert main([*words, "--every", "0.5", "--json", "-o", str(tmp_path)]) == 0
    first, second = json.loads(capsys.readouterr().out)["files"]
    assert [moment["time"] for moment in first["timeline"]] == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25]
    assert len(second["timeline"]) == 3
    for moment in [first, *first["timeline"]]:
        found = [label["probability"] for label in moment["labels"]]
        assert len(found) == 5 and found == sorted(found, reverse=True) and 0 <= found[-1] <= found[0] <= 1
    assert Path(first["picture"]).read_bytes().startswith(b"\x89PNG")
    # What is heard changes, so does the label: moments far apart are not all alike.
    assert len({json.dumps(moment["labels"]) for moment in first["timeline"]}) > 1


def test_a_clip_no_longer_than_the_window_is_told_over_time_by_a_shorter_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = _write_classifier(folder, "audio")
    words = ["classify", str(folder / "short.wav"), "--weights", str(weights), "--json"]
    write_audio(folder / "short.wav", torch.randn(1, 14400) * 0.1, 16000)
    for window, num_different in (([], 1), (["--window", "0.3"], 2)):
        assert main([*words, "--every", "0.45", "-o", str(tmp_path), *window]) == 0
        output = capsys.readouterr()
        [document] = json.loads(output.out)["files"]
        assert len({json.dumps(moment["labels"]) for moment in document["timeline"]}) == num_different
        assert ("give a shorter --window" in output.err) == (not window)


def test_what_cannot_be_done_is_one_line_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio, visual = _write_classifier(folder, "audio"), _write_classifier(folder, "visual")
    files = [str(folder / name) for name in ("bad.mp4", "silent.mp4", "gone.mp4", "sound.wav")]
    assert main(["classify", *files, "--weights", str(audio)]) == 2
    output = capsys.readouterr()
    assert "sound.wav: " in output.out and output.out.count("\n") == 1
    errors = [line for line in output.err.splitlines() if line.startswith("vab classify: ")]
    assert len(errors) == 3 and all(
        name in " ".join(errors) for name in ("bad.mp4", "silent.mp4", "gone.mp4")
    )
    assert main(["classify", *files[1:2], "--weights", str(visual)]) == 0
    assert main(["classify", *files[3:], "--weights", str(visual)]) == 2
    assert main(["classify", *files[1:2], "--weights", str(folder / "vab.safetensors")]) == 2
    assert "a 'vab' names no classes; make one with 'vab finetune'" in capsys.readouterr().err
    assert main(["classify", *files[1:2], "--weights", str(audio), "--every", "0"]) == 2


def test_an_esc_folder_with_missing_and_broken_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "esc"
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for n in range(12):
        name = f"{n % 2 + 1}-{n}-A-{n % 3}.wav"
        rows.append(f"{name},{n % 2 + 1},{n % 3},{CLASSES[n % 3]},True,{n},A")
        if n == 4:
            continue
        (root / "audio").mkdir(parents=True, exist_ok=True)
        write_audio(root / "audio" / name, torch.randn(1, 16000) * 0.1 * (n % 3 + 1), 16000)
        if n == 7:
            (root / "audio" / name).write_bytes(b"RIFF broken")
    (root / "meta").mkdir()
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    store = extract_tiny(root, tmp_path / "store", 1.0, "--workers", "1")
    assert (store / "missing.txt").read_text() == "1-4-A-1\n"
    weights = write_tiny_model(tmp_path / "tiny.safetensors")
    words = ["finetune", "--store", str(store), "--init", str(weights), "--out", str(tmp_path / "out")]
    words += [
        "--modality",
        "audio",
        "--freeze",
        "--data.folds",
        '["fold1", "fold2"]',
        "--training.epochs",
        "1",
    ]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert "10 clips used; 1 could not be read" in output and "1 have no file" in output
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["clips"] == {"used": 10, "unreadable": 1, "without_file": 1}
    assert document["num_clips"] == 10


def test_the_real_esc10_has_folds_to_learn_from(shared_data: Path, tmp_path: Path) -> None:
    """Four clips a class in two of the folds, cut to a second: the whole path on real sound."""
    root = tmp_path / "esc"
    (root / "meta").mkdir(parents=True)
    (root / "audio").mkdir()
    header, *rows = (shared_data / "esc10" / "meta" / "esc50.csv").read_text().splitlines()
    chosen: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        cells = row.split(",")
        if cells[1] > "2" or cells[3] not in ("dog", "rain"):
            continue
        if len(chosen.setdefault((cells[1], cells[3]), [])) < 4:
            chosen[cells[1], cells[3]].append(row)
            shutil.copy(shared_data / "esc10" / "audio" / cells[0], root / "audio" / cells[0])
    lines = [header, *(row for some in chosen.values() for row in some)]
    (root / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    store = extract_tiny(root, tmp_path / "store", 1.0, "--workers", "1")
    words = ["finetune", "--store", str(store), "--out", str(tmp_path / "out"), "--baseline", "forest"]
    words += ["--data.folds", '["fold1", "fold2"]', "--training.epochs", "1"]
    assert main(words) == 0
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["num_clips"] == 16
    assert document["mean"]["accuracy"] > 0.6  # a dog is not rain
