"""Adapt, embed, index and search on the command line, at toy size."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tiny import extract_tiny, write_tiny_clip, write_tiny_model

from tasks import cli
from tasks.retrieval.options import AdaptOptions
from vab.config import from_dict
from vab.models.files import load_model
from vab.retrieval.search import Index
from vab.retrieval.sources import EncodedClip, FileSource

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "retrieval").glob("*.yaml"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips, weights and an index of them."""
    folder = tmp_path_factory.mktemp("search")
    for number in range(4):
        write_tiny_clip(folder / "clips" / f"{number}.mp4", 1.0, seed=number)
    write_tiny_model(folder / "tiny.safetensors")
    arguments = [
        str(folder / "clips"),
        "-o",
        str(folder / "index"),
        "--weights",
        str(folder / "tiny.safetensors"),
    ]
    assert cli.main(["index", "build", *arguments]) == 0
    return folder


def test_search_finds_the_clip_itself(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for modality in ("video", "audio"):
        capsys.readouterr()
        query = [f"--{modality}", str(place / "clips" / "2.mp4"), "--in", modality, "--top", "2", "--json"]
        assert cli.main(["search", str(place / "index"), *query]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        assert [result["rank"] for result in results] == [1, 2]
        assert (results[0]["file"], results[0]["start"]) == ("2.mp4", 0.0)
        assert results[0]["score"] == pytest.approx(1, abs=1e-4)


def test_the_page_holds_everything_in_one_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = place / "page.html"
    arguments = [
        str(place / "index"),
        "--text",
        "<!--<script></script><b>",
        "--top",
        "1",
        "--html",
        str(page),
    ]
    assert cli.main(["search", *arguments]) == 0
    text = page.read_text()
    assert "data:video/mp4;base64," in text
    assert "data:image/jpeg;base64," in text
    assert "data:image/png;base64," in text
    assert "http" not in text
    assert "<!--<script>" not in text
    assert "</script><b>" not in text
    [data] = re.findall(r'<script type="application/json" id="found">(.*?)</script>', text)
    assert json.loads(data)["title"] == "video by text: <!--<script></script><b>"
    assert "| 1 " in capsys.readouterr().out.replace("│", "|")


def test_questions_that_cannot_be_answered_are_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_tiny_model(tmp_path / "other.safetensors", window_seconds=0.8)
    index, clip = str(place / "index"), str(place / "clips" / "0.mp4")
    for arguments, said in (
        ([index], "one of video, audio and text"),
        ([index, "--text", "a", "--video", clip], "one of"),
        ([index, "--text", "a", "--top", "0"], "at least 1"),
        ([str(tmp_path), "--text", "a"], "not an index"),
        ([index, "--text", "a", "--weights", str(other)], "was built with"),
        ([index, "--audio", str(tmp_path / "no.wav")], "no.wav"),
    ):
        assert cli.main(["search", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "Traceback" not in error


def test_embed_writes_what_the_library_computes(place: Path, tmp_path: Path) -> None:
    weights = ["--weights", str(place / "tiny.safetensors")]
    clips = [str(place / "clips" / f"{number}.mp4") for number in range(2)]
    for modality in ("audio", "video"):
        assert (
            cli.main(["embed", *clips, "--modality", modality, "-o", str(tmp_path / "x.npy"), *weights]) == 0
        )
        vectors = np.load(tmp_path / "x.npy")
        index = Index(place / "index", device="cpu")
        for clip, vector in zip(clips, vectors, strict=True):
            np.testing.assert_allclose(vector[None], index.embed(modality, clip).numpy(), atol=1e-6)
    assert cli.main(["embed", *clips, "no.mp4", "-o", str(tmp_path / "x.json"), *weights]) == 2
    document = json.loads((tmp_path / "x.json").read_text())
    assert [each["input"] for each in document["embeddings"]] == clips
    assert cli.main(["embed", "a dog", "--modality", "text", "-o", str(tmp_path / "x.bin"), *weights]) == 2


def test_add_and_remove_on_the_command_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "clips", tmp_path / "clips")
    shutil.copytree(place / "index", tmp_path / "index")
    write_tiny_clip(tmp_path / "clips" / "new.mp4", 1.0, seed=50)
    index = str(tmp_path / "index")
    assert cli.main(["index", "add", index, str(tmp_path / "clips" / "new.mp4")]) == 0
    assert "1 added" in capsys.readouterr().out
    assert cli.main(["index", "remove", index, str(tmp_path / "clips" / "0.mp4")]) == 0
    assert "1 removed, 4 left" in capsys.readouterr().out
    assert cli.main(["index", "add", index, str(place / "clips" / "0.mp4")]) == 0  # of another media root
    assert cli.main(["index", "verify", index]) == 0
    assert "sound, 5 clips" in capsys.readouterr().out
    (tmp_path / "index" / "audio.faiss").write_bytes(b"")
    assert cli.main(["index", "verify", index]) == 2
    assert "audio.faiss is not the file" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_build_keeps_what_is_done_and_resumes(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    encode = FileSource.encode

    def stop_at_the_third(self: FileSource, *arguments: Any) -> EncodedClip:
        if self.path.name == "2.mp4":
            os.kill(os.getpid(), number)
        return encode(self, *arguments)

    index = str(tmp_path / "index")
    command = [
        "index",
        "build",
        str(place / "clips"),
        "-o",
        index,
        "--weights",
        str(place / "tiny.safetensors"),
    ]
    monkeypatch.setattr(FileSource, "encode", stop_at_the_third)
    assert cli.main(command) == code
    assert "stopped; what is done is saved; re-run to resume" in capsys.readouterr().err
    assert cli.main(["search", index, "--text", "a"]) == 2
    assert "was interrupted" in capsys.readouterr().err
    monkeypatch.setattr(FileSource, "encode", encode)
    assert cli.main(command) == 0
    assert "2 added, 2 there already: 4 clips" in capsys.readouterr().out


def test_several_indexes_are_searched_as_one(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_clip(tmp_path / "more" / "9.mp4", 1.0, seed=9)
    weights = ["--weights", str(place / "tiny.safetensors")]
    other = str(tmp_path / "index")
    assert cli.main(["index", "build", str(tmp_path / "more"), "-o", other, *weights]) == 0
    for file, number in ((place / "clips" / "1.mp4", 0), (tmp_path / "more" / "9.mp4", 1)):
        capsys.readouterr()
        query = ["--video", str(file), "--in", "video", "--top", "5", "--json"]
        assert cli.main(["search", str(place / "index"), other, *query]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        assert (results[0]["file"], results[0]["index"], len(results)) == (str(file), number, 5)
        assert [result["score"] for result in results] == sorted((r["score"] for r in results), reverse=True)
    rows = Index(place / "index", other).search(video=tmp_path / "more" / "9.mp4", in_="video", top=1)
    assert (rows[0].index, rows[0].id) == (1, "9.mp4")


def test_adapt_then_evaluate(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    weights = str(place / "tiny.safetensors")
    extract_tiny(place / "clips", store)
    arguments = [
        "--store",
        str(store),
        "--weights",
        weights,
        "--training.batch_size",
        "4",
        "--training.precision",
        "32",
    ]
    short = ["--training.max_steps", "2"]
    for init in ("pretrained", "scratch"):
        out = tmp_path / init
        assert cli.main(["adapt", *arguments, *short, "--init", init, "-o", str(out), "--device", "cpu"]) == 0
        _, card = load_model(out / "encoder.safetensors")
        assert card.type == "vab-encoder"
        assert card.provenance["from"]["init"] == init
        assert card.provenance["temperature"] != 0.05
    tables = {
        init: load_model(tmp_path / init / "encoder.safetensors")[0].code_embedding.tables
        for init in ("pretrained", "scratch")
    }
    assert not (tables["pretrained"] - tables["scratch"]).abs().max() < 1e-3
    results = {}
    for through in ("matrix", "faiss"):
        document = tmp_path / f"{through}.json"
        command = ["evaluate", "retrieval", "--store", str(store), "--through", through]
        assert (
            cli.main(
                [
                    *command,
                    "--weights",
                    str(tmp_path / "scratch" / "encoder.safetensors"),
                    "-o",
                    str(document),
                ]
            )
            == 0
        )
        results[through] = json.loads(document.read_text())["metrics"]
    assert json.loads(document.read_text())["conditions"]["clips"] == store.name, "it has no splits"
    assert results["matrix"] == results["faiss"]
    assert results["matrix"]["chance"]["num_queries"] == 4
    listed = tmp_path / "list.txt"
    listed.write_text("0\nnot-there\n")
    assert cli.main([*command, "--weights", weights, "--clips", str(listed)]) == 0
    assert "1 of the clips" in capsys.readouterr().err
    assert (
        cli.main(
            [
                "generate",
                str(place / "clips" / "0.mp4"),
                "--weights",
                str(out / "encoder.safetensors"),
                "-o",
                str(tmp_path),
            ]
        )
        == 2
    )
    assert "makes no" in capsys.readouterr().err


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_sound(path: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    options = from_dict(AdaptOptions, {**values, "store": ["x"], "out": "y"}, source=str(path))
    assert options.objective.temperature == 0.05
    assert (options.data.mixup_prob, options.data.roll_prob) == (0.5, 0.1)
