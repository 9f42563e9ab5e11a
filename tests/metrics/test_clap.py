"""CLAP: the package that brings it is asked for in one line; with it, a folder of the true format is read."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from made_sounds import strikes
from safetensors.torch import load_file, save_file

from vab.errors import ConfigError, WeightsError
from vab.metrics.clap import Clap

RATE = 48_000
WORDS = "a hammer strikes metal"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the library writes a CLAP: the same classes and files, small, with random weights and an alphabet of bytes."""
    pytest.importorskip("transformers", reason="needs the extra vab[clap]")
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    path = tmp_path_factory.mktemp("clap")
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    text = {"vocab_size": len(names), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = {
        "patch_embeds_hidden_size": 8,
        "hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [1, 2],
    }
    torch.manual_seed(0)
    config = ClapConfig(
        text_config=text | {"intermediate_size": 32},
        audio_config=audio | {"num_hidden_layers": 2},
        projection_dim=8,
    )
    ClapModel(config).save_pretrained(path)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(path)
    (path / "vocab.json").write_text(json.dumps({name: index for index, name in enumerate(names)}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    return path


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "clap"))


def test_without_the_package_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"vab\[clap\]"):
        Clap(tmp_path)


def test_sounds_and_words_are_the_librarys_own(folder: Path) -> None:
    from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

    clap = Clap(folder)
    assert clap.sample_rate == RATE
    sound = strikes([0.5, 1.5], seconds=3.0, sample_rate=RATE)
    ours, words = clap.embed_audio(sound), clap.embed_text(WORDS)
    read = ClapFeatureExtractor.from_pretrained(folder)(
        sound[0].numpy(), sampling_rate=RATE, return_tensors="pt"
    )
    tokens = RobertaTokenizer.from_pretrained(folder)([WORDS], return_tensors="pt")
    with torch.inference_mode():
        expected = ClapModel.from_pretrained(folder).eval()(**read, **tokens)
    assert torch.allclose(ours, expected.audio_embeds[0], atol=1e-5)
    assert torch.allclose(words, expected.text_embeds[0], atol=1e-5)
    assert (ours @ ours).item() == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(ours, clap.embed_audio(torch.zeros_like(sound)), atol=1e-4)
    assert not torch.allclose(words, clap.embed_text("rain"), atol=1e-4)


def test_long_sounds_are_heard_whole_and_the_same_each_time(folder: Path) -> None:
    clap = Clap(folder)
    first, second = 0.1 * torch.randn(2, 1, 10 * RATE, generator=torch.Generator().manual_seed(0))
    # The rest of half a second is too short to be heard alone.
    together = clap.embed_audio(torch.cat([first, second, first[:, : RATE // 2]], dim=1))
    mean = clap.embed_audio(first) + clap.embed_audio(second)
    assert torch.allclose(together, mean / mean.norm(), atol=1e-5)


def test_nothing_is_printed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Clap(folder)
    assert capfd.readouterr() == ("", "")


def test_another_folder_is_one_line(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        Clap(tmp_path / "absent")
    weights = damaged / "model.safetensors"
    tensors = load_file(weights)

    def refused(message: str) -> None:
        with pytest.raises(WeightsError, match=message) as caught:
            Clap(damaged)
        assert "\n" not in str(caught.value)

    name = "text_projection.linear1.weight"
    save_file({key: value for key, value in tensors.items() if key != name}, weights, {"format": "pt"})
    refused("1 missing keys .*text_projection.linear1.weight")
    save_file(tensors | {"foreign": torch.zeros(2)}, weights, {"format": "pt"})
    refused("1 unexpected keys .*foreign")
    position_ids = {"text_model.embeddings.position_ids": torch.arange(514)[None]}
    save_file(tensors | position_ids, weights, {"format": "pt"})
    Clap(damaged)
    save_file(tensors | {name: torch.zeros(3, 3)}, weights, {"format": "pt"})
    refused("cannot be read as a CLAP|1 mismatched keys")
    weights.write_bytes(b"not safetensors")
    refused("cannot be read as a CLAP")
    weights.unlink()
    torch.save(tensors, damaged / "pytorch_model.bin")
    refused("model.safetensors: no such file")
    save_file(tensors, weights, {"format": "pt"})
    (damaged / "config.json").write_text(json.dumps({"model_type": "clip"}))
    refused("of a model of type 'clip'")
