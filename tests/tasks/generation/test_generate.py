"""``vab generate``: inputs are never written over, results are complete, names are the clips' own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tiny import write_tiny_clip, write_tiny_model

from tasks import cli
from vab import media
from vab.metrics.pairing import find_pairs


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def made_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 0.6)


@pytest.fixture
def clip(made_clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made_clip, tmp_path / "clip.mp4"))


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_video_is_never_written_over(
    clip: Path, weights: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = clip.read_bytes()
    words = ["generate", str(clip), "-o", str(clip.parent), "--weights", str(weights), *more]
    assert cli.main(words) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert clip.read_bytes() == before
    assert sorted(clip.parent.iterdir()) == [clip]


def generate(weights: Path, *words: Path | str) -> int:
    return cli.main(["generate", *map(str, words), "--weights", str(weights), "--device", "cpu"])


@pytest.mark.parametrize(
    "words", [["--duration", "0"], ["--batch-size", "-1"], ["--num-samples", "0"], ["--peak", "3"]]
)
def test_options_that_make_nothing_are_refused(
    clip: Path, weights: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(weights, clip, "-o", clip.parent / "out", *words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (clip.parent / "out").exists()


def test_there_already_means_made_alike(
    clip: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = clip.parent / "out"
    assert generate(weights, clip, "-o", out) == 0
    before = (out / "clip.mp4").read_bytes()
    assert generate(weights, clip, "-o", out) == 0
    assert "1 there already" in capsys.readouterr().out
    for words, reason in (
        (["--seed", "1"], "seed 0 instead of 1"),
        (["--steps", "2"], "num_steps 3 instead of 2"),
        (["--loudness", "-20"], "loudness None instead of -20.0"),
        (["--duration", "0.3"], "seconds 0.6"),
    ):
        assert generate(weights, clip, "-o", out, *words) == 2
        err = capsys.readouterr().err
        assert reason in err and "--overwrite" in err
        assert (out / "clip.mp4").read_bytes() == before
    assert generate(weights, clip, "-o", out, "--seed", "1", "--overwrite") == 0
    assert (out / "clip.mp4").read_bytes() != before


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_without_its_json_is_completed_and_another_is_kept(
    clip: Path, weights: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = clip.parent / f"out{suffix}"
    assert generate(weights, clip, "-o", out) == 0
    settings = Path(f"{out}.json")
    made, said = out.read_bytes(), settings.read_bytes()
    settings.unlink()
    assert generate(weights, clip, "-o", out) == 0
    assert out.read_bytes() == made
    assert json.loads(settings.read_text())["clip"] == json.loads(said)["clip"]
    settings.unlink()
    out.write_text("somebody's own")
    assert generate(weights, clip, "-o", out) == 2
    assert "without a JSON" in capsys.readouterr().err
    assert out.read_text() == "somebody's own"


def test_a_json_alone_is_no_result(clip: Path, weights: Path) -> None:
    out = clip.parent / "out.mp4"
    assert generate(weights, clip, "-o", out) == 0
    out.unlink()
    assert generate(weights, clip, "-o", out) == 0
    assert out.exists()


def test_a_list_names_results_by_the_clips_ids(
    clip: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos, out = clip.parent / "videos", clip.parent / "out"
    videos.mkdir()
    shutil.copy(clip, videos / "abcdefghijk_000030.mp4")
    shutil.copy(clip, videos / "lmnopqrstuv.mp4")
    (clip.parent / "vggsound.csv").write_text(
        "abcdefghijk,30,dog,test\nlmnopqrstuv,0,cat,test\nabsent,0,cat,test\nlmnopqrstuv,5,cat,train\n"
    )
    words = ["--list", clip.parent / "vggsound.csv", "--media-root", videos, "--split", "test"]
    words += ["--audio-only", "wav"]
    assert generate(weights, *words, "-o", out) == 0
    found = sorted(path.name for path in out.glob("*.wav"))
    assert found == ["abcdefghijk_000030.wav", "lmnopqrstuv_000000.wav"]
    pairs = find_pairs(out, videos, wanted=clip.parent / "vggsound.csv", split="test")
    assert [pair.id for pair in pairs.pairs] == ["abcdefghijk_000030", "lmnopqrstuv_000000"]
    assert generate(weights, *words, "-o", out) == 0
    assert generate(weights, *words, "-o", videos / "out") == 2
    assert "choose an output outside of it" in capsys.readouterr().err


def test_a_folder_says_what_it_skips_and_never_takes_results_for_clips(
    clip: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clip.parent / "notes.txt").touch()
    out = clip.parent / "out"
    assert generate(weights, clip.parent, "-o", out) == 0
    assert "skipped what is no video by its suffix: 1 .txt" in capsys.readouterr().err
    assert generate(weights, clip.parent, "-o", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["clip.mp4", "clip.mp4.json"]


def test_each_clip_of_a_list_begins_where_the_list_says(clip: Path, weights: Path) -> None:
    folder = clip.parent
    (folder / "list.csv").write_text("id,path,start,duration\na,clip.mp4,0,0.3\nb,clip.mp4,0.3,0.3\n")
    assert generate(weights, "--list", folder / "list.csv", "-o", folder / "out") == 0
    starts = [json.loads((folder / "out" / f"{name}.mp4.json").read_text())["start"] for name in "ab"]
    assert starts == [0.0, 0.3]
    assert media.probe(folder / "out" / "b.mp4").duration == pytest.approx(0.3, abs=0.01)


def test_containers_are_judged_before_models_load(
    clip: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gif = clip.parent / "moving.gif"
    with av.open(str(gif), "w") as output:
        stream = output.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb8"
        for grey in range(0, 250, 50):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), grey, np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    out = clip.parent / "out"
    assert generate(weights, gif, "-o", out, "--transcode") == 0
    assert media.probe(out / "moving.mp4").duration == pytest.approx(0.5, abs=0.01)
    capsys.readouterr()
    monkeypatch.setattr("vab.load", None)
    assert generate(weights, gif, "-o", out) == 2
    assert "add --transcode" in capsys.readouterr().err
    assert generate(weights, clip, "-o", clip.parent / "out.webm") == 2
    assert "h264 video cannot be stored in .webm" in capsys.readouterr().err
    assert generate(weights, clip, gif, "-o", clip.parent / "one.mp4") == 2
    assert "one file for 2 clips" in capsys.readouterr().err


def test_a_clip_is_opened_once_to_look_once_to_see_and_once_to_copy(
    clip: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = av.open

    def counted(file: str, *args: Any, **kwargs: Any) -> Any:
        opened.append(str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(av, "open", counted)
    assert generate(weights, clip, "-o", clip.parent / "out") == 0
    assert opened.count(str(clip)) == 3
