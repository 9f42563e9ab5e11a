import logging
from pathlib import Path

import pytest

from vab.errors import ManifestError
from vab.features.manifest import Clip, load_manifest, merge, read_manifest


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_is_searched_throughout(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "sub/a.MKV", "sub/deep/x.wav", "notes.txt", ".hidden/c.mp4", "b.webm", ".d.mp4")
    clips = read_manifest(tmp_path)
    assert [(clip.id, clip.path) for clip in clips] == [
        ("b.mp4", tmp_path / "b.mp4"),  # two files share the stem
        ("b.webm", tmp_path / "b.webm"),
        ("sub/a", tmp_path / "sub/a.MKV"),
        ("sub/deep/x", tmp_path / "sub/deep/x.wav"),
    ]
    assert {(clip.split, clip.labels) for clip in clips} == {("", ())}


def test_a_single_file(tmp_path: Path) -> None:
    touch(tmp_path, "one.mp4")
    assert read_manifest(tmp_path / "one.mp4") == [Clip(id="one", path=tmp_path / "one.mp4")]


def test_generic_csv(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "v/b.mp4", "c.mp4")
    path = write(
        tmp_path / "list.csv",
        "\ufeffid,path,start,duration,split,label,labels,caption,extra\n"
        'x,a.mp4,1.5,4,train,dog,dog|bark,"a dog, barking",1\n'
        "\n"
        ",v/b.mp4,,,test,cat,,,2\n"
        "z,c.mp4,0,,,rain,drip | drop,,3\n",
    )
    assert read_manifest(path) == [
        Clip("x", tmp_path / "a.mp4", 1.5, 4.0, "train", ("dog", "bark"), "a dog, barking"),
        Clip("v/b", tmp_path / "v/b.mp4", 0.0, None, "test", ("cat",)),
        Clip("z", tmp_path / "c.mp4", labels=("rain", "drip", "drop")),
    ]


def test_csv_paths_are_relative_to_media_root_or_absolute(tmp_path: Path) -> None:
    touch(tmp_path, "media/a.mp4", "else/b.mp4")
    path = write(tmp_path / "lists/l.csv", f"path\na.mp4\n{tmp_path / 'else/b.mp4'}\n")
    clips = read_manifest(path, media_root=tmp_path / "media")
    assert [clip.path for clip in clips] == [tmp_path / "media/a.mp4", tmp_path / "else/b.mp4"]


VGGSOUND = (
    '---g-f_I2yQ,1,"people, marching",test\nabcdefghijk,30,dog barking,train\nzzzzzzzzzzz,5,rain,train\n'
)


@pytest.mark.parametrize(
    ("name", "start", "may_be_cut"),
    [
        ("abcdefghijk_000030.mp4", 0.0, False),
        ("deep/er/abcdefghijk_30.webm", 0.0, False),
        ("abcdefghijk_30_40.mkv", 0.0, False),
        ("abcdefghijk_30000_40000.mp4", 0.0, False),
        ("abcdefghijk.mp4", 30.0, True),
    ],
)
def test_vggsound(tmp_path: Path, name: str, start: float, may_be_cut: bool) -> None:
    path = write(tmp_path / "vggsound.csv", VGGSOUND)
    touch(tmp_path / "video", "---g-f_I2yQ_000001.mp4", name)
    manifest = load_manifest(path, media_root=tmp_path / "video")
    assert manifest.format == "vggsound"
    assert manifest.missing == ("zzzzzzzzzzz_000005",)
    first, second = manifest.clips
    assert (first.id, first.labels, first.split) == ("---g-f_I2yQ_000001", ("people, marching",), "test")
    assert second == Clip(
        "abcdefghijk_000030",
        tmp_path / "video" / name,
        start,
        10.0,
        "train",
        ("dog barking",),
        may_be_cut=may_be_cut,
    )


def test_missing_files_are_counted_not_fatal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "abcdefghijk_000030.mp4")
    with caplog.at_level(logging.WARNING):
        assert len(read_manifest(write(tmp_path / "vggsound.csv", VGGSOUND))) == 1
    assert "2 of 3 clips have no file (first: ---g-f_I2yQ_000001)" in caplog.text


def test_audioset(tmp_path: Path) -> None:
    path = write(
        tmp_path / "balanced_train_segments.csv",
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        "# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=4\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\n'
        '-0SdAVK79lg, 30.000, 37.500, "/m/0cmf2"\n',
    )
    touch(tmp_path, "--4gqARaEJE.mp4", "-0SdAVK79lg_30000_37500.mp4")
    manifest = load_manifest(path)
    assert manifest.format == "audioset"
    assert manifest.clips == (
        Clip(
            "--4gqARaEJE_000000",
            tmp_path / "--4gqARaEJE.mp4",
            0.0,
            10.0,
            "balanced_train",
            ("/m/068hy", "/m/07q6cd_"),
            may_be_cut=True,
        ),
        Clip(
            "-0SdAVK79lg_000030",
            tmp_path / "-0SdAVK79lg_30000_37500.mp4",
            0.0,
            7.5,
            "balanced_train",
            ("/m/0cmf2",),
        ),
    )


ESC50 = (
    "filename,fold,target,category,esc10,src_file,take\n"
    "1-1-A-0.wav,1,0,dog,True,1,A\n"
    "5-2-B-1.wav,5,1,sea_waves,False,2,B\n"
)


@pytest.mark.parametrize("from_folder", [True, False])
def test_esc50(tmp_path: Path, from_folder: bool) -> None:
    path = write(tmp_path / "meta/esc50.csv", ESC50)
    touch(tmp_path, "audio/1-1-A-0.wav", "audio/5-2-B-1.wav")
    manifest = load_manifest(tmp_path if from_folder else path)
    assert manifest.format == "esc50"
    assert manifest.clips == (
        Clip("1-1-A-0", tmp_path / "audio/1-1-A-0.wav", split="fold1", labels=("dog",)),
        Clip("5-2-B-1", tmp_path / "audio/5-2-B-1.wav", split="fold5", labels=("sea_waves",)),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv: holds no clips"),
        ("name,split\na,b\n", r"list.csv:1: neither a header with a `path` column"),
        ("path,start\na.mp4,1\na2.mp4,soon\n", "list.csv:3: start 'soon' is not a number"),
        ("path,start\na.mp4,-1\n", "list.csv:2: start '-1' is not a time"),
        ("path,duration\na.mp4,nan\n", "list.csv:2: duration 'nan' is not a time"),
        ("path,duration\na.mp4,0\n", "list.csv:2: duration 0"),
        ("path,split\na.mp4\n", "list.csv:2: 1 cells, the header has 2"),
        ("path,split\n,train\n", "list.csv:2: empty path"),
        ("id,path\nx,a.mp4\ny,b.mp4\nx,c.mp4\n", "list.csv:4: id 'x' was used in line 2 already"),
        ("abc,1,dog,test\nabc,one,dog,test\n", "list.csv:2: start 'one' is not a number"),
        ("abc,1,dog,test\nabc,2,dog\n", "list.csv:2: 3 cells, VGGSound has 4"),
        ("abc,1,dog,test\nabc,1,cat,test\n", "list.csv:2: id 'abc_000001' was used in line 1"),
        ("# c\nabc, 5.0, 5.0, \"/m/1\"\n", "list.csv:2: ends at 5.0, before it starts at 5.0"),
    ],
)  # fmt: skip
def test_bad_lists_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(write(tmp_path / "list.csv", text))
    assert "\n" not in str(caught.value)


def test_a_folder_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "two/dog/1.wav", "two/cat/1.wav", "three/train/dog/1.wav", "three/test/cat/2.wav")
    flat = load_manifest(tmp_path / "two", format="classes")
    assert [(clip.id, clip.split, clip.labels) for clip in flat.clips] == [
        ("cat/1", "", ("cat",)),
        ("dog/1", "", ("dog",)),
    ]
    split = load_manifest(tmp_path / "three", format="classes")
    assert [(clip.id, clip.split, clip.labels) for clip in split.clips] == [
        ("test/cat/2", "test", ("cat",)),
        ("train/dog/1", "train", ("dog",)),
    ]
    touch(tmp_path, "two/loose.wav")
    with pytest.raises(ManifestError, match=r"loose.wav: lies neither in <class>/ nor in <split>/<class>/"):
        load_manifest(tmp_path / "two", format="classes")
    with pytest.raises(ManifestError, match=r"two: is a folder, not a list in the format vggsound"):
        load_manifest(tmp_path / "two", format="vggsound")


def test_speech_commands_splits_by_its_own_lists(tmp_path: Path) -> None:
    touch(
        tmp_path, "bed/a_nohash_0.wav", "bed/b_nohash_0.wav", "cat/c_nohash_1.wav", "_background_noise_/x.wav"
    )
    write(tmp_path / "testing_list.txt", "bed/b_nohash_0.wav\ncat/gone_nohash_0.wav\n")
    write(tmp_path / "validation_list.txt", "cat/c_nohash_1.wav\n")
    manifest = load_manifest(tmp_path)
    assert manifest.format == "speechcommands"
    assert [(clip.id, clip.split, clip.labels) for clip in manifest.clips] == [
        ("bed/a_nohash_0", "train", ("bed",)),
        ("bed/b_nohash_0", "test", ("bed",)),
        ("cat/c_nohash_1", "validation", ("cat",)),
    ]
    assert manifest.missing == ("cat/gone_nohash_0.wav",)
    (tmp_path / "testing_list.txt").unlink()
    with pytest.raises(ManifestError, match=r"testing_list.txt: cannot be read"):
        load_manifest(tmp_path, format="speechcommands")


def test_bad_inputs(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file or folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match="holds no video or sound files"):
        read_manifest(tmp_path)
    (tmp_path / "bytes.csv").write_bytes(b"path\n\xff\xfe\x00\n")
    with pytest.raises(ManifestError, match="cannot be read as a CSV"):
        read_manifest(tmp_path / "bytes.csv")
    path = write(tmp_path / "l.csv", "path\na.mp4\n")
    with pytest.raises(ManifestError, match="is a file, not a folder"):
        load_manifest(path, format="folder")
    with pytest.raises(ManifestError, match=r"l.csv:1: 1 cells, VGGSound has 4"):
        load_manifest(path, format="vggsound")
    with pytest.raises(ManifestError, match="no columns filename, fold and category"):
        load_manifest(path, format="esc50")


def test_several_lists_become_one(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.mp4", "two/b.mp4", "three/a.mp4")
    one, two, three = (load_manifest(tmp_path / name) for name in ("one", "two", "three"))
    assert [clip.id for clip in merge([one, two]).clips] == ["a", "b"]
    with pytest.raises(ManifestError, match=r"three/a.mp4: its id 'a' is also that of .*one/a.mp4"):
        merge([one, three])


def test_the_real_esc10(shared_data: Path) -> None:
    clips = read_manifest(shared_data / "esc10")
    assert len(clips) == 400
    assert {clip.split for clip in clips} == {f"fold{n}" for n in range(1, 6)}
    assert len({clip.labels for clip in clips}) == 10
