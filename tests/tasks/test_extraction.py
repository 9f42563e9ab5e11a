"""``vab extract`` from the outside: what it stores, what it prints, its exit codes."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.cli import main
from vab.features.store import FeatureStore
from vab.media import write_clip

NETWORKS = ["--codec", "tiny-encodec", "--encoder", "tiny-clip", "--encoder-weights", "random"]
RATES = [
    "--visual-fps",
    "4",
    "--clip-seconds",
    "1",
    "--shard-size",
    "10",
    "--batch-size",
    "1",
    "--workers",
    "1",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips and two that cannot be read, with a list that names one more."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    rows = ["id,path,split,label,labels,caption"]
    for n in range(8):
        path = folder / f"clip{n}.mp4"
        if n in (2, 5):
            path.write_bytes(b"no video")
        else:
            frames = generator.integers(0, 255, (8, 32, 48, 3), np.uint8)
            write_clip(path, frames, 8, generator.uniform(-0.5, 0.5, (1, 16_000)).astype(np.float32), 16_000)
        rows.append(f"clip-{n},{path.name},{'train' if n % 3 else 'test'},noise,noise|snow,snow on a screen")
    (folder / "list.csv").write_text("\n".join([*rows, "gone,gone.mp4,train,,,"]) + "\n")
    return folder


def command(corpus: Path, store: Path) -> list[str]:
    return ["extract", str(corpus / "list.csv"), "--store", str(store), *NETWORKS, *RATES]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def store_folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extracted") / "store"
    assert main(command(corpus, folder)) == 0
    return folder


def test_what_is_in_the_store(store_folder: Path) -> None:
    store = FeatureStore(store_folder)
    store.verify()
    assert len(store.select(split="train")) + len(store.select(split="test")) == 6
    clip = store.clips[1]
    assert (clip.id, clip.split, clip.labels, clip.caption) == (
        "clip-1",
        "train",
        ("noise", "snow"),
        "snow on a screen",
    )
    batch = store.read([0, 1])
    assert batch.streams["codes"].shape == (2, 4, 50) and batch.streams["clip"].shape == (2, 4, 32)
    assert batch.is_valid["codes"].all() and batch.is_valid["clip"].all()
    assert not batch.streams["codes"][0].equal(batch.streams["codes"][1])
    reasons = [
        json.loads(line)["failure"] for line in (store_folder / "failures.jsonl").read_text().splitlines()
    ]
    assert len(reasons) == 2 and all("not a sound or video file" in reason for reason in reasons)


def test_a_second_run_has_nothing_to_do(
    corpus: Path, store_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(store_folder)
    assert main(command(corpus, store_folder)) == 0
    output = capsys.readouterr()
    assert "0 clips done" in output.out and "holds 6" in output.out and "--retry-failures" in output.out
    assert "1 listed clips have no file and are left out (first: gone; all: " in output.err
    assert (store_folder / "missing.txt").read_text() == "gone\n"
    assert contents(store_folder) == before


def test_status(store_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--store", str(store_folder), "--status"]) == 0
    output = capsys.readouterr().out
    assert "codes: codes [4] of 64, 50 a second, by tiny-encodec" in output
    assert "clip: vectors [32], 4 a second, by tiny-clip" in output
    assert re.search(r"all\D+6\D+2\D+0", output)


def test_verify_finds_a_changed_byte(
    store_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(store_folder, tmp_path / "store")
    words = ["extract", "--store", str(tmp_path / "store"), "--verify"]
    assert main(words) == 0
    assert "sound, 6 clips" in capsys.readouterr().out
    shard = max((tmp_path / "store").rglob("*.safetensors"), key=lambda file: file.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert main(words) == 2
    assert shard.name in capsys.readouterr().err


def test_patterns_and_several_inputs(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [str(corpus / "clip[01].mp4"), str(corpus / "clip3.mp4")]
    assert main(["extract", *inputs, "--store", str(tmp_path / "store"), *NETWORKS, *RATES]) == 0
    assert FeatureStore(tmp_path / "store").clips.ids == ["clip0", "clip1", "clip3"]
    capsys.readouterr()
    # Without inputs it goes on with what was planned, here nothing.
    assert main(["extract", "--store", str(tmp_path / "store"), *NETWORKS, *RATES]) == 0
    assert "0 clips done" in capsys.readouterr().out


def test_a_stream_is_added(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert main(command(corpus, store)) == 0
    (corpus / "clip3.mp4").rename(corpus / "away.mp4")
    capsys.readouterr()
    words = ["extract", "--store", str(store), "--add", "clip25"]
    faster = ["--encoder", "tiny-clip", "--visual-fps", "25", "--workers", "1"]
    assert main([*words, *faster]) == 0
    assert "5 clips done" in capsys.readouterr().out
    (corpus / "away.mp4").rename(corpus / "clip3.mp4")
    assert main([*words, *faster, "--retry-failures"]) == 0
    assert "1 clips done" in (output := capsys.readouterr().out) and "holds 6" in output
    assert main(["extract", "--store", str(store), "--status"]) == 0
    assert "clip25: vectors [32], 25 a second, by tiny-clip" in capsys.readouterr().out
    batch = FeatureStore(store).read([0, 1])
    assert batch.streams["clip25"].shape == (2, 25, 32) and batch.is_valid["clip25"].all()
    assert main([*words, "--encoder", "tiny-clip", "--codec", "tiny-encodec"]) == 2
    assert "by a --codec or by an --encoder, not by both" in capsys.readouterr().err
    assert main([*words[:-1], "pitch"]) == 2
    assert "no package makes such a stream" in capsys.readouterr().err
    assert main([*words, str(corpus / "clip0.mp4")]) == 2
    assert "give no others" in capsys.readouterr().err


def test_mistakes_are_one_line_and_exit_code_2(
    corpus: Path, store_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("path,start\na.mp4,soon\n")
    (tmp_path / "broken.mp4").write_bytes(b"x")
    new = str(tmp_path / "new")
    for words, message in (
        (["--store", new, *NETWORKS], "a new store needs videos or a list of clips"),
        ([str(tmp_path / "bad.csv"), "--store", new, *NETWORKS], "bad.csv:2: start 'soon' is not a number"),
        ([str(corpus), "--store", str(store_folder), *NETWORKS], "clip rate 4.0, not 12.5"),
        (["--store", new, "--status"], "not a feature store"),
        ([str(tmp_path / "broken.mp4"), "--store", new, *NETWORKS], "holds 0"),
    ):
        assert main(["extract", *words]) == 2
        output = capsys.readouterr()
        assert message in output.err + output.out
