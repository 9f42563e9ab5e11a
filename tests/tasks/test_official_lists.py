"""Pretraining and adaptation on lists as AudioSet and VGGSound publish them, and on a plain folder."""

import json
from pathlib import Path

import pytest
from tiny import model_words, write_tiny_clip, write_tiny_model

from tasks import cli
from vab.checkpoint import load_tensors

NETWORKS = ["--codec", "tiny-encodec", "--encoder", "tiny-clip", "--visual-fps", "5", "--clip-seconds", "1"]
AUDIOSET_HEAD = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=527, num_positive_labels=9
# YTID, start_seconds, end_seconds, positive_labels
"""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip a video, named as downloaders do, and the official lists beside them."""
    folder = tmp_path_factory.mktemp("media")
    for index, name in enumerate(["vggA", "vggB", "vggC", "vggD", "-unbA", "unbB", "balA", "evaA"]):
        write_tiny_clip(folder / f"{name}_000030.mp4", 1.0, seed=index)
    (folder / "vggsound.csv").write_text(
        'vggA,30,"people burping, loudly",train\nvggB,30,dog barking,train\n'
        "vggC,30,dog barking,train\nvggD,30,rain,test\n"
    )
    for split, names in (
        ("unbalanced_train", ["-unbA", "unbB"]),
        ("balanced_train", ["balA"]),
        ("eval", ["evaA"]),
    ):
        rows = [f'{name}, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n' for name in names]
        (folder / f"{split}_segments.csv").write_text(AUDIOSET_HEAD + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def stores(media: Path) -> list[str]:
    lists = {
        "vggsound": ["vggsound.csv"],
        "audioset": [f"{split}_segments.csv" for split in ("unbalanced_train", "balanced_train", "eval")],
    }
    for store, names in lists.items():
        words = ["extract", *(str(media / name) for name in names), "--store", str(media / store), *NETWORKS]
        assert cli.main(words) == 0
    return [str(media / store) for store in lists]


def pretrain(stores: list[str], out: Path, *more: str) -> list[str]:
    training = ["--training.max_steps=2", "--training.batch_size=2", "--training.precision=32"]
    return [
        "pretrain",
        "--store",
        *stores,
        "--out",
        str(out),
        *model_words(),
        *training,
        "--device",
        "cpu",
        *more,
    ]


SPLITS = ["--data.train_splits", "vggsound=train audioset=unbalanced_train,balanced_train"]


def test_official_lists_are_pretrained_on_together(
    stores: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(pretrain(stores, tmp_path / "run", *SPLITS)) == 0
    trained_on = load_tensors(tmp_path / "run" / "model.safetensors")[1]["provenance"]["trained_on"]
    assert trained_on == "2 clips of vggsound, 2 clips of audioset", "one of each three is measured on"
    assert trained_on in " ".join(capsys.readouterr().out.split())
    options = json.loads((tmp_path / "run" / "options.json").read_text())
    assert options["data"]["train_splits"] == SPLITS[1]


def test_a_store_that_contributes_nothing_is_refused(
    stores: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(pretrain(stores, tmp_path / "run")) == 2
    assert (
        "audioset: no clips in split 'train' with codes, clip; it has: balanced_train, eval, unbalanced_train; "
        "choose with --data.train_splits"
    ) in " ".join(capsys.readouterr().err.split())
    assert cli.main(pretrain(stores, tmp_path / "run", *SPLITS, "--data.validation_splits", "test")) == 2
    assert "audioset: no clips in split 'test'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_folder_is_trained_and_measured_on(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in sorted(media.glob("*.mp4"))[:4]:
        (folder / clip.name).symlink_to(clip)
    store = str(tmp_path / "store")
    assert cli.main(["extract", str(folder), "--store", store, *NETWORKS]) == 0
    assert cli.main(pretrain([store], tmp_path / "run")) == 0
    assert "3 clips of store" in " ".join(capsys.readouterr().out.split())
    assert "its clips have no splits: all of them are used (--data.train_splits)" in caplog.text
    weights = str(write_tiny_model(tmp_path / "tiny.safetensors"))
    assert cli.main(["evaluate", "retrieval", "--store", store, "--weights", weights, "--device", "cpu"]) == 0
    assert "4 clips of store" in capsys.readouterr().out
    assert "all of them are used (--split)" in caplog.text
