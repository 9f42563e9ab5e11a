"""A list cut from VGGSound's own: where it comes from stands in it, and evaluation reads it."""

import hashlib
from pathlib import Path

import pytest
from made_sounds import strikes

from tasks import cli
from vab.features.manifest import load_manifest
from vab.media import write_audio

ROWS = """\
---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,waterfall burbling,train
--56QUhyDQM,185,"playing tennis, indoors",test
-03cUoe7KzE,30,people marching,test
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "vggsound.csv").write_text(ROWS)
    for name in ("---g-f_I2yQ_000001", "-03cUoe7KzE_30"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        write_audio(tmp_path / "videos" / f"{name}.flac", [strikes([0.2], seconds=1.0)], 16_000)
    return tmp_path / "vggsound.csv"


def cut(source: Path, *more: str) -> list[str]:
    assert (
        cli.main(["evaluate", "list", "--source", str(source), "-o", str(source.parent / "cut.csv"), *more])
        == 0
    )
    return (source.parent / "cut.csv").read_text().splitlines()


def test_rows_are_kept_as_they_are_and_say_where_from(source: Path) -> None:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    first, second, *rows = cut(source)
    assert first == f"# 3 of 4 clips of vggsound.csv, SHA-256 {digest}"
    assert second.startswith("# split test; by vab ")
    assert rows == [row for row in ROWS.splitlines() if row.endswith(",test")]


def test_labels_and_files_narrow_it(source: Path) -> None:
    assert len(cut(source, "--labels", "playing tennis, indoors")) == 3
    lines = cut(source, "--media-root", str(source.parent / "videos"))
    assert "files that are there" in lines[1]
    assert [line[:11] for line in lines[2:]] == ["---g-f_I2yQ", "-03cUoe7KzE"]
    manifest = load_manifest(source.parent / "cut.csv", media_root=source.parent / "videos")
    assert (manifest.format, len(manifest.clips), manifest.missing) == ("vggsound", 2, ())


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (ROWS, ["--split", "val"], "its splits are: test, train"),
        (ROWS, ["--labels", "thunder"], "no clips of 'thunder'"),
        (ROWS, ["--media-root", "."], "holds no file of these clips"),
        ("a,b\n", [], "row 1 is not VGGSound's"),
        ("", [], "holds no clips"),
    ],
)
def test_what_cannot_be_cut_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    more: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vggsound.csv").write_text(text)
    assert cli.main(["evaluate", "list", "--source", "vggsound.csv", *more]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("list.csv").exists()
