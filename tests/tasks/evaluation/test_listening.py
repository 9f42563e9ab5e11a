"""A listening test from two systems: blinded, tied to its key, analysed."""

import json
import re
from pathlib import Path

import pytest
from made_sounds import strikes
from tiny import write_tiny_clip

from tasks import cli
from vab.media import write_audio

HEADER = "test,listener,trial,question,answer\n"


@pytest.fixture
def systems(tmp_path: Path) -> Path:
    for index, name in enumerate(("ours", "theirs", "third")):
        (tmp_path / name).mkdir()
        for clip in range(4):
            sound = strikes([0.1 + 0.1 * index], seconds=1.0)
            write_audio(tmp_path / name / f"clip{clip}.flac", [sound], 16_000)
    (tmp_path / "third" / "clip3.flac").unlink()
    return tmp_path


def make(folder: Path, *more: str, names: tuple[str, ...] = ("ours", "theirs", "third")) -> dict:
    words = ["evaluate", "listening", "--systems", *(f"{name}={folder / name}" for name in names)]
    assert cli.main([*words, "-o", str(folder / "test"), *more]) == 0
    return json.loads((folder / "test" / "key.json").read_text())


def test_a_page_shows_every_trial_and_no_names(systems: Path) -> None:
    key = make(systems)
    page = (systems / "test" / "test.html").read_text()
    # Three clips are in all systems; ours meets each of the two others.
    assert len(key["trials"]) == 6
    assert {trial["clip"] for trial in key["trials"]} == {"clip0", "clip1", "clip2"}
    assert {frozenset(trial["order"]) for trial in key["trials"]} == {
        frozenset({"ours", "theirs"}),
        frozenset({"ours", "third"}),
    }
    assert {trial["order"].index("ours") for trial in key["trials"]} == {0, 1}
    assert page.count("<audio controls src=") == 12
    assert page.count("<fieldset>") == 6  # there are no pictures that the sound could go with
    assert key["test"] in page
    without_media = re.sub(r'src="data:[^"]*"', "", page)
    assert not re.search("ours|theirs|third|clip0", without_media)


def test_seed_decides_the_order_and_sound_is_joined_to_pictures(systems: Path) -> None:
    first, again = make(systems, "--kind", "mos"), make(systems, "--kind", "mos")
    assert first == again
    assert len(first["trials"]) == 9
    assert make(systems, "--kind", "mos", "--seed", "1")["trials"] != first["trials"]
    for clip in range(3):
        write_tiny_clip(systems / "videos" / f"clip{clip}.mp4", 1.0)
    make(systems, "--num-clips", "1", "--videos", str(systems / "videos"))
    page = (systems / "test" / "test.html").read_text()
    assert page.count('<video controls src="data:video/mp4') == 4
    assert page.count("<fieldset>") == 4


def analyse(folder: Path, lines: list[str]) -> int:
    (folder / "answers.csv").write_text(HEADER + "\n".join(lines) + "\n")
    words = ["evaluate", "answers", str(folder / "answers.csv"), "--key", str(folder / "test" / "key.json")]
    return cli.main([*words, "-o", str(folder / "result.json")])


def test_a_damaged_file_is_never_shown_to_listeners(
    systems: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (systems / "ours" / "clip1.flac").write_bytes(b"no audio")
    words = ["--systems", f"ours={systems / 'ours'}", f"theirs={systems / 'theirs'}"]
    assert cli.main(["evaluate", "listening", *words, "-o", str(systems / "test")]) == 2
    assert "clip1.flac: nothing of its audio stream can be decoded" in " ".join(
        capsys.readouterr().err.split()
    )


def test_preferences_are_unblinded(systems: Path) -> None:
    key = make(systems)
    # A listener who always clearly prefers ours, wherever it stood.
    lines = [
        f'{key["test"]},"ann, 1",{number},quality,{-2 if trial["order"][0] == "ours" else 2}'
        for number, trial in enumerate(key["trials"])
    ]
    assert analyse(systems, lines) == 0
    result = json.loads((systems / "result.json").read_text())
    assert (result["listeners"], result["answers"]) == (1, 6)
    assert {(each["first"], each["second"]) for each in result["results"]} == {
        ("ours", "theirs"),
        ("ours", "third"),
    }
    assert all(each["counts"] == [3, 0, 0, 0, 0] for each in result["results"])


def test_opinions_are_those_of_each_system(systems: Path) -> None:
    key = make(systems, "--kind", "mos")
    rating = {"ours": 5, "theirs": 3, "third": 1}
    lines = [
        f"{key['test']},{who},{number},relevance,{rating[trial['order'][0]]}"
        for who in ("ann", "bob")
        for number, trial in enumerate(key["trials"])
    ]
    assert analyse(systems, [*lines, lines[0]]) == 0
    results = json.loads((systems / "result.json").read_text())["results"]
    assert {each["system"]: each["mean"] for each in results} == rating
    assert {each["num_ratings"] for each in results} == {6}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0123456789ab,ann,0,quality,1", "the key is of"),
        ("{test},ann,99,quality,1", "trial 99"),
        ("{test},ann,0,quality,7", "quality: 7"),
        ("{test},ann,0,taste,1", "taste"),
        ("{test},ann,zero,quality,1", "not the answers"),
    ],
)
def test_answers_that_do_not_fit_are_one_line(
    systems: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    key = make(systems)
    assert analyse(systems, [line.format(test=key["test"])]) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.strip().count("\n") == 0 or "vab evaluate answers:" in captured.splitlines()[-1]


def test_systems_without_a_common_clip_or_a_name_are_one_line(
    systems: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (systems / "third").iterdir():
        path.rename(path.with_stem(f"x{path.stem}"))
    words = ["evaluate", "listening", "-o", str(systems / "test"), "--systems", f"a={systems / 'ours'}"]
    assert cli.main([*words, f"b={systems / 'third'}"]) == 2
    assert "no clip is in all of a, b" in capsys.readouterr().err
    assert cli.main([*words, str(systems / "third")]) == 2
    assert "NAME=FOLDER" in capsys.readouterr().err
