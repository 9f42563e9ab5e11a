"""Codecs by name and by file: our own format, audiocraft's container, bare state dicts."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vab import checkpoint, weights
from vab.codecs import load_codec, save_codec
from vab.codecs.dac import DacConfig
from vab.codecs.encodec import EncodecCodec, EncodecConfig
from vab.codecs.loading import random_codec
from vab.errors import WeightsError

TINY = EncodecConfig(n_filters=4, dimension=16, codebook_size=64)

# What audiocraft writes for this network, interpolations unresolved (config/model/encodec/default.yaml).
AUDIOCRAFT_YAML = """
sample_rate: 16000
channels: 1
compression_model: encodec
encodec: {autoencoder: seanet, quantizer: rvq, sample_rate: '${sample_rate}', channels: '${channels}',
  causal: false, renormalize: false}
seanet:
  dimension: 16
  channels: ${channels}
  causal: ${encodec.causal}
  n_filters: 4
  n_residual_layers: 1
  ratios: [8, 5, 4, 2]
  activation: ELU
  activation_params: {alpha: 1.0}
  norm: weight_norm
  norm_params: {}
  kernel_size: 7
  residual_kernel_size: 3
  last_kernel_size: 7
  dilation_base: 2
  pad_mode: constant
  true_skip: true
  compress: 2
  lstm: 2
  disable_norm_outer_blocks: 0
  decoder: {trim_right_ratio: 1.0, final_activation: null, final_activation_params: null}
  encoder: {}
rvq: {n_q: 4, q_dropout: false, bins: 64, decay: 0.99, kmeans_init: true, kmeans_iters: 50,
  threshold_ema_dead_code: 2, orthogonal_reg_weight: 0.0, orthogonal_reg_active_codes_only: false}
dataset: {path: '${oc.env:NEVER_SET}'}
"""


def write_audiocraft(path: Path, config: EncodecConfig = TINY, **changes: Any) -> EncodecCodec:
    """A checkpoint in audiocraft's container with random weights; ``changes`` go to its seanet section."""
    codec = random_codec(config)
    assert isinstance(codec, EncodecCodec)
    parsed = yaml.safe_load(AUDIOCRAFT_YAML)
    parsed["seanet"] |= {"dimension": config.dimension, "n_filters": config.n_filters} | changes
    parsed["seanet"] = {key: value for key, value in parsed["seanet"].items() if value != "leave out"}
    parsed["rvq"]["bins"] = config.codebook_size
    content = {
        "best_state": codec.model.state_dict(),
        "xp.cfg": yaml.safe_dump(parsed),
        "version": "1.0",
        "exported": True,
    }
    torch.save(content, path)
    return codec


def test_audiocraft_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "compression_state_dict.bin"
    saved = write_audiocraft(path)
    with caplog.at_level(logging.WARNING):
        codec = load_codec("encodec-16khz", weights=path)
    assert not caplog.records
    assert codec.name == "encodec-16khz"
    assert codec.config == TINY
    assert codec.fingerprint == saved.fingerprint == load_codec(str(path)).fingerprint
    waveform = torch.randn(1, 1, 16_000) * 0.3
    assert torch.equal(codec.encode(waveform), saved.encode(waveform))


def test_audiocraft_pad_mode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.bin"
    write_audiocraft(path, pad_mode="reflect")
    assert load_codec(str(path)).config.pad_mode == "reflect"
    write_audiocraft(path, pad_mode="leave out")
    with caplog.at_level(logging.WARNING):
        assert load_codec(str(path)).config.pad_mode == "constant"
    assert "no pad mode" in caplog.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channels": 2}, "channels is 2"),
        ({"activation": "ReLU"}, "activation"),
        ({"decoder": {"final_activation": "Tanh"}}, "final_activation"),
        ({"encoder": {"n_filters": 8}}, "encoder is "),
        ({"decoder": {"n_filters": 8}}, "decoder is "),
        ({"activation_params": {"alpha": 0.5}}, "activation_params"),
        ({"norm": "time_group_norm"}, "norm"),
        ({"causal": "${nowhere.to.be.found}"}, "nowhere"),
        ({"ratios": "leave out"}, "ratios"),
    ],
)
def test_other_networks_of_audiocraft_are_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "a.bin"
    write_audiocraft(path, **changes)
    with pytest.raises(WeightsError, match=rf"^.*a\.bin: [^\n]*{reason}[^\n]*$"):
        load_codec(str(path))


def test_pointer_file(tmp_path: Path) -> None:
    path = tmp_path / "pointer.bin"
    torch.save({"pretrained": "facebook/encodec_32khz", "exported": True, "version": "1.0"}, path)
    with pytest.raises(WeightsError, match="holds no weights, only points to 'facebook/encodec_32khz'"):
        load_codec("encodec-16khz", weights=path)


@pytest.mark.slow
def test_audiocraft_checkpoint_at_full_size(tmp_path: Path) -> None:
    path = tmp_path / "compression_state_dict.bin"
    write_audiocraft(path, EncodecConfig())
    # The published file has 235,740,815 bytes; ours lacks a few kB of training configuration.
    assert path.stat().st_size == pytest.approx(235_740_815, abs=10_000)
    codec = load_codec("encodec-16khz", weights=path)
    assert codec.config == EncodecConfig()
    assert len(codec.model.state_dict()) == 116
    assert codec.encode(torch.randn(1, 1, 160_000)).shape == (1, 4, 500)


@pytest.mark.parametrize("config", [TINY, DacConfig(encoder_dim=4, decoder_dim=32, codebook_size=64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_own_format(tmp_path: Path, config: EncodecConfig | DacConfig, dtype: torch.dtype) -> None:
    saved = random_codec(config)
    path = tmp_path / "mine.safetensors"
    save_codec(saved, path, {"trained_on": "noise"}, dtype=dtype)
    codec = load_codec(str(path))
    assert (codec.name, codec.config) == ("mine", config)
    assert all(tensor.dtype == torch.float32 for tensor in codec.model.state_dict().values())
    assert codec.model.state_dict().keys() == saved.model.state_dict().keys()
    _, header = checkpoint.load_tensors(path, expected_format="codec")
    assert header["provenance"] == {"trained_on": "noise"}
    assert header["config"] == {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(config).items()
    }
    if dtype == torch.float32:
        assert codec.fingerprint == saved.fingerprint
        waveform = torch.randn(1, 1, 16_000) * 0.3
        assert torch.equal(codec.encode(waveform), saved.encode(waveform))
    else:
        again = tmp_path / "again.safetensors"
        save_codec(codec, again, dtype=dtype)
        assert load_codec(str(again)).fingerprint == codec.fingerprint


def test_saved_codebooks_can_be_trained_on(tmp_path: Path) -> None:
    """The running means that our file leaves out come back in a state that does not ruin the codebooks."""
    save_codec(random_codec(TINY), tmp_path / "x.safetensors")
    codec = load_codec(str(tmp_path / "x.safetensors"))
    before = codec.codebooks
    codec.model.train()
    codec.model.quantizer(codec.model.encoder(torch.randn(1, 1, 16_000)).detach(), 50)
    codec.model.eval()
    assert 0 < (codec.codebooks - before).abs().max() < 1e3
    assert torch.isfinite(codec.codebooks).all()


def test_bare_state_dict_is_the_24khz_preset(tmp_path: Path) -> None:
    saved = load_codec("encodec-24khz", weights="random")
    path = tmp_path / "encodec_24khz.th"
    torch.save(saved.model.state_dict(), path)
    codec = load_codec("encodec-24khz", weights=path)
    assert (codec.fingerprint, codec.num_codebooks) == (saved.fingerprint, 8)
    assert load_codec(str(path)).num_codebooks == 32
    assert load_codec("encodec-24khz", weights=path, num_codebooks=2).num_codebooks == 2


def test_weights_of_another_codec_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_codec(random_codec(TINY), path)
    with pytest.raises(WeightsError, match="encodec-24khz: these weights are encodec at 16000 Hz"):
        load_codec("encodec-24khz", weights=path)
    with pytest.raises(WeightsError, match="load them by their path alone"):
        load_codec("dac-16khz", weights=path)
    assert load_codec("encodec-16khz", weights=path).name == "encodec-16khz"


def test_bad_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no-such-codec: neither a codec .*dac-16khz.* nor a file"):
        load_codec("no-such-codec")
    with pytest.raises(WeightsError, match="neither a file nor the name of weights"):
        load_codec("dac-16khz", weights="/no/such/file")
    with pytest.raises(WeightsError, match="random weights need one of"):
        load_codec("what", weights="random")
    with pytest.raises(WeightsError, match="weights of kind 'encoder'"):
        load_codec("dac-16khz", weights="eva02-l-14")
    for content in ({"a": 1}, [1, 2], {}):
        torch.save(content, tmp_path / "odd.pt")
        with pytest.raises(WeightsError, match="not the weights of a codec"):
            load_codec(str(tmp_path / "odd.pt"))
    header = {"format": "codec", "version": 1, "type": "new", "config": {}}
    checkpoint.save_tensors(tmp_path / "odd.safetensors", {"a": torch.ones(1)}, header)
    with pytest.raises(WeightsError, match="describes no codec"):
        load_codec(str(tmp_path / "odd.safetensors"))
    header |= {"type": "encodec", "config": {"bins": 3}}
    checkpoint.save_tensors(tmp_path / "odd.safetensors", {"a": torch.ones(1)}, header)
    with pytest.raises(WeightsError, match="no option bins"):
        load_codec(str(tmp_path / "odd.safetensors"))


def test_bundled_codec_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_BUNDLED", tmp_path)
    with pytest.raises(WeightsError, match="lacks the bundled file"):
        load_codec("spectral-16khz")
    save_codec(random_codec(TINY), tmp_path / "spectral-16khz.safetensors")
    assert load_codec("spectral-16khz", num_codebooks=2).name == "spectral-16khz"


def test_random_codecs_are_seeded_and_leave_the_rng_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = load_codec("tiny-encodec")
    assert torch.equal(torch.rand(3), expected)
    assert first.fingerprint == load_codec("tiny-encodec").fingerprint
    assert first.fingerprint != random_codec(first.config, seed=1).fingerprint


def test_random_codecs_are_the_same_with_any_number_of_threads() -> None:
    before, found = torch.get_num_threads(), set()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.add(load_codec("tiny-encodec").fingerprint)
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1
