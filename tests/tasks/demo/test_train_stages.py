"""``vab demo train``: the stages of each codec's system and what they are told; the training itself is elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import write_tiny_model

from tasks import cli
from tasks.demo import train


@pytest.mark.parametrize("codec", ["dac", "encodec"])
def test_the_models_of_a_system_are_trained_in_order_and_go_together(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix = "" if codec == "dac" else "-encodec"
    bundle = tmp_path / "bundle"
    for there in (
        tmp_path / "corpus/manifest.csv",
        bundle / f"demo-codec{suffix}.safetensors",
        bundle / "demo-clip.safetensors",
        tmp_path / f"features{suffix}.done",
    ):
        there.parent.mkdir(parents=True, exist_ok=True)
        there.touch()
    told: list[list[str]] = []

    def pretend(words: list[str]) -> int:
        told.append(list(words))
        out = Path(words[words.index("--out") + 1])
        out.mkdir()
        write_tiny_model(out / ("encoder.safetensors" if words[0] == "adapt" else "model.safetensors"))
        return 0

    monkeypatch.setattr(train, "main", pretend)
    assert cli.main(["demo", "train", "--codec", codec, "-o", str(tmp_path)]) == 0

    def value(words: list[str], name: str) -> Path:
        return Path(words[words.index(name) + 1])

    rooms = {"dac": ["coarse_to_fine", "vab", "retrieval", "classification"], "encodec": ["vab"]}[codec]
    assert [value(words, "--config").parent.name for words in told] == rooms
    for words in told:
        assert value(words, "--config").is_file()
        assert value(words, "--store") == tmp_path / f"store{suffix}"
        if words[0] == "pretrain":
            assert value(words, "--codec-weights") == bundle / f"demo-codec{suffix}.safetensors"
    if codec == "dac":
        assert value(told[1], "--refiner") == bundle / "demo-refiner.safetensors"
        assert value(told[2], "--weights") == bundle / "demo-vab.safetensors"
        assert value(told[3], "--init") == bundle / "demo-vab.safetensors"
    for made in {"dac": ("refiner", "vab", "search", "classes"), "encodec": ("vab",)}[codec]:
        assert (bundle / f"demo-{made}{suffix}.safetensors").is_file()
    assert cli.main(["demo", "train", "--codec", codec, "-o", str(tmp_path)]) == 0
    assert len(told) == len(rooms)  # what is there is not made again


def test_a_folder_of_one_run_is_not_gone_on_with_as_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for there in ("corpus/manifest.csv", "features.done", "features-encodec.done"):
        (tmp_path / there).parent.mkdir(exist_ok=True)
        (tmp_path / there).touch()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for kind in ("codec", "clip", "refiner", "vab", "search", "classes", "codec-encodec", "vab-encodec"):
        (bundle / f"demo-{kind}.safetensors").touch()
    words = ["demo", "train", "-o", str(tmp_path)]
    assert cli.main([*words, "--quick"]) == 0
    assert cli.main([*words, "--quick", "--codec", "encodec"]) == 0  # both systems share a folder
    capsys.readouterr()
    for others in ([], ["--quick", "--seed", "1"]):
        assert cli.main([*words, *others]) == 2
        error = capsys.readouterr().err
        assert "--seed 0 --quick" in error and str(tmp_path) in error.replace("\n", "")
