"""Documents made to harm: each ends in one line, in bounded time and memory."""

from __future__ import annotations

import json
import resource
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import write_tiny_model

from tasks import cli
from vab.checkpoint import load_tensors
from vab.codecs import load_codec, save_codec
from vab.errors import VABError
from vab.features.info import CodecFacts, StoreInfo, StreamInfo
from vab.features.manifest import load_manifest
from vab.models.files import load_model
from vab.visual import load_encoder, save_encoder

MOST_SECONDS = 5.0
"""Of this process's own time for one document."""
MOST_MEGABYTES = 300
"""By which the process may grow over all documents."""
TEXT = "training:\n  max_steps: 5\n"
BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))


def _yaml_documents() -> Iterator[bytes]:
    yield f"a0: &a0 [x]\n{BOMB}".encode()
    yield f"a0: &a0 [x]\n{BOMB}training: *a9\n".encode()
    yield b"training: &t {max_steps: 5}\nmodel: {<<: *t}\n"
    yield b"training: &t [*t]\n"
    yield b"training: " + b"[" * 100_000 + b"]" * 100_000
    yield b"training: " + b"{a: " * 10_000 + b"1" + b"}" * 10_000
    yield b"\n".join(b" " * depth + b"a:" for depth in range(2000))
    yield b"training: " + b"x" * 2_000_000
    yield b"training: {max_steps: " + b"9" * 10_000 + b"}"
    yield b"training: !!python/object/apply:os.system ['true']"
    yield b"training: !!python/name:os.system"
    yield b"training: !unknown 1"
    yield b"\xff\xfe\x00\x01"
    yield b"training: \x00"
    yield b"\ttraining: 1"
    yield b"- training"
    yield b"training"
    yield b"training: {max_steps: 5}\n---\ntraining: {max_steps: 6}\n"
    yield b"? [training, {a: b}]\n: 1\n"
    yield b"training: {max_steps: 5, max_stepz: 5}"
    yield b"nothing: 1"
    for name in ("max_steps", "batch_size", "accumulate", "log_every", "checkpoint_every"):
        for value in ("0", "-1", "100000000000", "1.5", "x", "[]", "{a: 1}", ".inf"):
            yield f"training: {{max_steps: 5, {name}: {value}}}".encode()
    for name in ("learning_rate", "weight_decay", "gradient_clip", "ema_decay"):
        for value in ("-1", ".nan", ".inf", "[]"):
            yield f"{TEXT}  {name}: {value}".encode()
    for name in (
        "num_layers",
        "width",
        "num_heads",
        "num_codebooks",
        "codebook_size",
        "visual_fps",
        "frame_rate",
    ):
        for value in ("0", "-1", "1000000000", ".nan"):
            yield f"{TEXT}model: {{{name}: {value}}}".encode()
    for name, values in (("crop_seconds", ("0", "-1", ".inf", ".nan")), ("mixup_prob", ("2", "-1", ".nan"))):
        for value in values:
            yield f"{TEXT}data: {{{name}: {value}}}".encode()


def _raw_safetensors() -> Iterator[bytes]:
    def with_header(text: str, body: bytes = b"") -> bytes:
        return struct.pack("<Q", len(text)) + text.encode() + body

    yield b""
    yield struct.pack("<Q", 2**63) + b"{}"
    yield struct.pack("<Q", 10**8) + b"{}"
    yield with_header("{")
    yield with_header("[" * 10_000 + "]" * 10_000)
    yield with_header('{"__metadata__": ' + '{"a":' * 10_000 + "1" + "}" * 10_001)
    yield with_header('{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4]}}', b"0000")
    yield with_header(
        '{"a": {"dtype": "F32", "shape": [4294967296, 4294967296, 4], "data_offsets": [0, 4]}}', b"0000"
    )
    yield with_header('{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}', b"0000")
    yield with_header('{"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}', b"0000")
    yield with_header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', b"0000")
    yield with_header('{"__metadata__": {"vab": 1}}')


DELETE = object()


def _changes(good: dict[str, Any], *places: tuple[str, list[Any]]) -> Iterator[str]:
    """Headers with one value changed or deleted, by its path."""
    for place, values in places:
        for value in values:
            header = json.loads(json.dumps(good))
            *parents, last = place.split("/")
            holder = header
            for parent in parents:
                holder = holder[parent]
            if value is DELETE:
                del holder[last]
            else:
                holder[last] = value
            yield json.dumps(header)
    yield "[" * 100_000
    yield "[" * 100_000 + "]" * 100_000
    yield "null"
    yield "[]"
    yield "{"
    yield "9" * 10_000


NOT_NUMBERS = [None, "x", [], {}]
NAN, INF = float("nan"), float("inf")


def _check(load: Callable[[], object]) -> None:
    began = time.process_time()
    with pytest.raises(VABError) as info:
        load()
    assert time.process_time() - began < MOST_SECONDS
    assert "\n" not in str(info.value) and len(str(info.value)) < 2000


@pytest.fixture(scope="module", autouse=True)
def _memory_is_bounded() -> Iterator[None]:
    load_codec("tiny-encodec"), load_codec("tiny-dac"), load_encoder("tiny-clip")  # the libraries come first
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MOST_MEGABYTES


def _code(words: list[str]) -> int | str | None:
    try:
        return cli.main(words)
    except SystemExit as stop:
        return stop.code


def test_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    documents = list(_yaml_documents())
    assert len(documents) > 100
    for document in documents:
        path.write_bytes(document)
        words = ["pretrain", "--config", str(path), "--store", "nowhere", "-o", str(tmp_path / "out")]
        began = time.process_time()
        assert _code(words) == 2, document[:80]
        assert time.process_time() - began < MOST_SECONDS, document[:80]
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "nowhere" not in error and len(error) < 2100, document[:80]


def test_files_of_tensors(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    for document in _raw_safetensors():
        path.write_bytes(document)
        _check(lambda: load_tensors(path, expected_format="model"))


def _check_headers(good: Path, load: Callable[[Path], object], *places: tuple[str, list[Any]]) -> int:
    tensors, header = load_tensors(good)
    load(good)
    bad, number = good.with_name("bad.safetensors"), 0
    for text in _changes(header, *places):
        save_file(tensors, bad, metadata={"vab": text})
        _check(lambda: load(bad))
        number += 1
    return number


def test_headers_of_models(tmp_path: Path) -> None:
    number = _check_headers(
        write_tiny_model(tmp_path / "good.safetensors"),
        load_model,
        ("type", [*NOT_NUMBERS, DELETE, "../vab", "os", "vab-encoder"]),
        ("format", [None, "codec"]),
        ("version", [None, 2]),
        ("config/num_layers", [*NOT_NUMBERS, 0, -1, 3, 1000, 10**7, 10**100, INF]),
        ("config/width", [*NOT_NUMBERS, 0, -32, 64, 10**5, 10**9]),
        ("config/codebook_size", [0, 2**20, 2**40]),
        ("config/visual_fps", [*NOT_NUMBERS, 0, -1, NAN, INF, 1e9]),
        ("config/frame_rate", [0, NAN]),
        ("config", [None, 3, [], ["a"]]),
        ("components", [3, "x", []]),
        ("components/codes", [3, "x", [], {"name": 3}]),
        ("window_seconds", [*NOT_NUMBERS, 0, -1, NAN, INF]),
        ("overlap_seconds", [-1, NAN, 10**6]),
    )
    assert number > 50


def test_headers_of_codecs(tmp_path: Path) -> None:
    for name, places in (
        (
            "tiny-encodec",
            [
                ("type", [None, [], "os", DELETE]),
                ("config/sample_rate", [*NOT_NUMBERS, 0, -1, 10**12, NAN]),
                ("config/ratios", [None, "x", [], [0], [10**9], [-8, -5, 4, 2], [2] * 10_000]),
                ("config/num_codebooks", [None, 0, 10**7]),
                ("config/codebook_size", [0, 3, 2**40]),
                ("config/lstm", [-1, 10**7]),
                ("config/n_residual_layers", [10**8]),
                ("config/norm", [None, "layer_norm"]),
            ],
        ),
        (
            "tiny-dac",
            [
                ("config/encoder_rates", [None, [], [0], [10**9], [2] * 10_000]),
                ("config/decoder_dim", [None, 0, 10**9]),
                ("config/num_codebooks", [0, 10**7]),
            ],
        ),
    ):
        good = tmp_path / f"{name}.safetensors"
        save_codec(load_codec(name), good, dtype=torch.float32)
        _check_headers(good, lambda path: load_codec(str(path)), *places)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_headers_of_encoders(tmp_path: Path) -> None:
    good = tmp_path / "clip.safetensors"
    save_encoder(load_encoder("tiny-clip"), good, dtype=torch.float32)
    _check_headers(
        good,
        lambda path: load_encoder(str(path)),
        ("config/embed_dim", [*NOT_NUMBERS, 0, -1, 10**9]),
        ("config/vision_cfg", [*NOT_NUMBERS, DELETE]),
        ("config/vision_cfg/layers", [None, 0, 10**7]),
        ("config/vision_cfg/width", [None, 0, 10**9]),
        ("config/text_cfg/vocab_size", [0, 10**12]),
        ("preprocess/size", ["x", [], {}, 0, -1, 10**9]),
        ("preprocess/mean", ["x", [0.5], 3]),
    )


def test_descriptions_of_stores(tmp_path: Path) -> None:
    info = StoreInfo.of(
        (
            StreamInfo(
                "codes", "codes", "audio", 50.0, (4,), "tiny", "0", "int16", CodecFacts(16000, 320, 64)
            ),
            StreamInfo("clip", "vectors", "frames", 5.0, (16,), "tiny", "0"),
        ),
        1.0,
    )
    info.write(tmp_path)
    path = tmp_path / "store.json"
    good = json.loads(path.read_text())
    assert StoreInfo.read(tmp_path) == info
    stream = "streams/codes"
    for text in _changes(
        good,
        ("format", [None, "codec"]),
        ("format_version", [*NOT_NUMBERS, 0, 3, DELETE]),
        ("clip_seconds", [*NOT_NUMBERS, DELETE, 0, -1, NAN, INF, 10**9, 10**100]),
        ("streams", [None, 3, "x", [], DELETE]),
        (stream, [None, 3, "x", [], {}]),
        (f"{stream}/kind", [*NOT_NUMBERS, DELETE, "pickle"]),
        (f"{stream}/rate", [*NOT_NUMBERS, DELETE, 0, -1, NAN, INF, 10**9]),
        (f"{stream}/shape", [None, "x", 3, [0], [-1], ["a"], [10**9, 10**9]]),
        (f"{stream}/codec", [None, 3, "x", []]),
        (f"{stream}/codec/hop_length", [*NOT_NUMBERS, DELETE, 0, -1, NAN, 10**12]),
        (f"{stream}/dtype", [*NOT_NUMBERS, "object", "int8"]),
    ):
        path.write_text(text)
        _check(lambda: StoreInfo.read(tmp_path))


def _manifests() -> Iterator[bytes]:
    yield b""
    yield b"\xff\xfe\x00\x01"
    yield b"path\n\x00\n"
    yield b"path\n" + b'"' * 200_000
    yield b"path\n" + b"x" * 200_000 + b"\n"
    yield b"path\n" + b"x" * 100_000 + b"\n"
    yield b"path\n" + b"," * 100_000
    yield b"," * 1_000_000
    yield b"id,path\n1\n"
    yield b"id,path\n1,a.mp4\n1,b.mp4\n"
    yield b"path,path,path\n"
    yield b"filename,fold,category\na.wav,1\n"
    yield b"abc,1,dog\nabc,1,dog,train\n"
    for number in (b"x", b"-1", b"nan", b"inf", b"1e999", b"9" * 10_000):
        yield b"path,start\na.mp4," + number + b"\n"
        yield b"path,duration\na.mp4," + number + b"\n"
        yield b"abc,1,dog,train\nabd," + number + b",dog,train\n"
        yield b'abc,1,2,"/m/1"\nabd,1,' + number + b',"/m/1"\n'


def test_lists_of_clips(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    (tmp_path / "a.mp4").touch()
    num_refused = 0
    for document in _manifests():
        path.write_bytes(document)
        began = time.process_time()
        try:
            assert not load_manifest(path).clips, document[:80]
        except VABError as error:
            num_refused += 1
            assert "\n" not in str(error) and len(str(error)) < 2000
        assert time.process_time() - began < MOST_SECONDS
    assert num_refused > 30


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "null", "3", '{"embed_dim": 3}'])
def test_configurations_of_encoders(tmp_path: Path, text: str) -> None:
    (tmp_path / "open_clip.json").write_text(text)
    _check(lambda: load_encoder(str(tmp_path / "open_clip.json"), weights="random"))
