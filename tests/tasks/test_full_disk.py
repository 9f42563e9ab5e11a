"""A disk that fills up while a command writes, or a folder that may not be written: one line that names the file, and
nothing half-written is left.

The system's limit on the size of a file stands for the full disk: every library then fails in its own way.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from tiny import (
    model_words,
    write_tiny_classifier,
    write_tiny_clip,
    write_tiny_model,
    write_tiny_refiner,
)

from tasks import cli

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork and limits on the size of files"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
LARGEST = {"embed": 300, "index": 100, "extract": 300, "layout": 0, "curate": 0, "evaluate": 0, "bench": 0}
"""Bytes by command, 1500 by default: descriptions and lines of clips fit; features, weights, audio, frames do not."""
ROOT = Path(__file__).parents[2]
HAS_LANCEDB = find_spec("lancedb") is not None
MODEL = " ".join(model_words())
TRAINING = "--training.batch_size 2 --training.num_workers 0 --device cpu"
EXTRACT = (
    "extract {in}/list.csv --store {in}/store --codec tiny-encodec --encoder tiny-clip --visual-fps 5 "
    "--clip-seconds 1 --device cpu"
)  # whose own writer is tested in tests/features
COMMANDS = [
    f"pretrain --store {{in}}/store --out {{out}} {MODEL} --data.num_logged_clips 0 {TRAINING} --training.max_steps 1",
    f"adapt --store {{in}}/store --weights {{in}}/tiny.safetensors --out {{out}} {TRAINING} --training.max_steps 1",
    "generate {in}/0.mp4 --weights {in}/tiny.safetensors -o {out} --device cpu",
    "generate {in}/0.mp4 --weights {in}/tiny.safetensors -o {out} --audio-only wav --device cpu",
    "embed {in}/0.mp4 {in}/1.mp4 --modality video --weights {in}/tiny.safetensors -o {out}/file.npy --device cpu",
    "index build {in}/0.mp4 {in}/1.mp4 --weights {in}/tiny.safetensors -o {out} --device cpu",
    "index build {in}/0.mp4 --backend lancedb --weights {in}/tiny.safetensors -o {out} --device cpu",
    "index add {out}/index {in}/2.mp4 --device cpu",
    "index remove {out}/index {out}/0.mp4",
    "index add {out}/lance {in}/2.mp4 --device cpu",
    "index remove {out}/lance {out}/0.mp4",
    "search {in}/index --video {in}/0.mp4 --html {out}/file.html --device cpu",
    "extract --store {out}/store --add again --encoder tiny-clip --visual-fps 5 --device cpu",
    'finetune --store {in}/store --init {in}/tiny.safetensors --out {out} --data.test_splits ["validation"] '
    "--training.epochs 1 --training.batch_size 2 --device cpu",
    "classify {in}/0.mp4 --every 0.5 --window 0.5 --weights {in}/classes.safetensors -o {out} --device cpu",
    "refine {in}/0.mp4 --weights {in}/fine.safetensors -o {out} --device cpu",
    "layout --audio {in}/0.mp4 -o {out}/layout.json",
    "layout --audio {in}/0.mp4 -o {out}/layout.png",
    "curate {in}/store --weights {in}/tiny.safetensors -o {out}/list.csv --device cpu",
    "evaluate generation --generated {in}/media --reference {in}/media -o {out}/report.json",
    "evaluate tokens --store {in}/store --weights {in}/tiny.safetensors --split validation -o {out}/a.json "
    "--device cpu",
    "evaluate retrieval --store {in}/store --weights {in}/tiny.safetensors --split validation -o {out}/a.json "
    "--device cpu",
    "evaluate refinement --store {in}/store --weights {in}/fine.safetensors --split validation --steps 2 -o {out} "
    "--device cpu",
    "evaluate codec tiny-encodec --num-tones 1 --num-codebooks 2 -o {out} --device cpu",
    "evaluate list --source {in}/vggsound.csv -o {out}/list.csv",
    "evaluate listening --systems a={in}/media b={in}/media --num-clips 1 -o {out}",
    "evaluate answers {in}/answers.csv --key {in}/listening/key.json -o {out}/a.json",
    "evaluate results --source {root}/docs/results -o {out}/results.md",
    "evaluate demo --clips 1 --weights {in}/tiny.safetensors -o {out} --device cpu",
    "evaluate sweep --clips 1 --weights {in}/tiny.safetensors -o {out} --device cpu",
    "bench decoding --config {root}/configs/vab/vab_dac.yaml --systems masked --seconds 1 --layers 1 --width 32 "
    "--dtype float32 -o {out}/a.json --device cpu",
    "bench generate {root}/configs/vab/demo.yaml --seconds 1 --repeats 1 -o {out}/a.json --device cpu",
    "bench train {root}/configs/vab/demo.yaml --seconds 1 --repeats 1 -o {out}/a.json --device cpu",
    "bench extract {in}/media --codec tiny-spectral --encoder tiny-clip --clip-seconds 1 -o {out}/a.json --device cpu",
    "bench index --sizes 50 --dim 8 --num-queries 2 --kinds flat -o {out}/a.json",
    "demo -o {out}",
    "demo corpus --clips 1 --split test --duration 1 --workers 1 -o {out}",
]
"""Not 'evaluate ablation', 'evaluate curation' and 'demo train', which call these, nor 'evaluate layout', which needs
a TiVA."""
UNWRITABLE = [
    EXTRACT.replace("{in}/store", "{out}/store"),
    "extract --store {out}/store --add again --encoder tiny-clip --visual-fps 5 --device cpu",
    "index build {in}/2.mp4 --weights {in}/tiny.safetensors -o {out}/index --device cpu",
    "index add {out}/index {in}/2.mp4 --device cpu",
    "index remove {out}/index {out}/0.mp4",
    "index add {out}/lance {in}/2.mp4 --device cpu",
    "index remove {out}/lance {out}/0.mp4",
]
"""What writes into a folder that is there; that the others look before they work is tested in test_outputs.py."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full-disk")
    (folder / "media").mkdir()
    rows = ["id,path,split,label"]
    for index in range(4):
        write_tiny_clip(folder / f"{index}.mp4", 1.0, seed=index)
        (folder / "media" / f"{index}.mp4").symlink_to(folder / f"{index}.mp4")
        rows.append(f"{index},{index}.mp4,{'train' if index < 2 else 'validation'},{'ab'[index % 2]}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    write_tiny_model(folder / "tiny.safetensors")
    write_tiny_refiner(folder / "fine.safetensors")
    write_tiny_classifier(folder / "classes.safetensors")
    (folder / "vggsound.csv").write_text("---g-f_I2yQ,1,people marching,test\n")
    media = ["--systems", f"a={folder}/media", f"b={folder}/media", "-o", f"{folder}/listening"]
    first = [f"{folder}/0.mp4", "--weights", f"{folder}/tiny.safetensors", "--device", "cpu", "-o"]
    for words in (
        EXTRACT.format(**{"in": folder}).split(),
        ["index", "build", *first, f"{folder}/index"],
        *([["index", "build", *first, f"{folder}/lance", "--backend", "lancedb"]] if HAS_LANCEDB else []),
        ["evaluate", "listening", *media],
    ):
        code, said = _in_a_process(words)
        assert code == 0, said
    test = json.loads((folder / "listening" / "key.json").read_text())["test"]
    (folder / "answers.csv").write_text(f"test,listener,trial,question,answer\n{test},ann,0,quality,1\n")
    return folder


def _in_a_process(words: list[str], prepare: Callable[[], object] = bool) -> tuple[int | None, str]:
    """Exit code of a command in a process of its own, after something is done there, and what it said."""
    server = _server()
    server.send((words, prepare))
    result: tuple[int | None, str] = server.recv()
    return result


@functools.cache
def _server() -> Connection:
    """A fresh process that forks: this one has threads, locks and servers of the tests before."""
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=_serve, args=[theirs]).start()
    theirs.close()
    atexit.register(ours.close)  # ends it; multiprocessing waits for it afterwards
    return ours


def _serve(asked: Connection) -> None:
    with contextlib.suppress(EOFError):
        while True:
            asked.send(_forked(*asked.recv()))


def _forked(words: list[str], prepare: Callable[[], object]) -> tuple[int | None, str]:
    ours, theirs = os.pipe()

    def run() -> None:
        sys.stdout = sys.stderr = os.fdopen(theirs, "w", buffering=1)
        torch.set_num_threads(1)
        sys.dont_write_bytecode = (
            True  # a module's first import would leave half a .pyc for all tests after it
        )
        prepare()
        try:
            code = cli.main(words)
        except SystemExit as stop:
            code = stop.code
        os._exit(code)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    os.close(theirs)
    with os.fdopen(ours, errors="replace") as pipe:
        said = pipe.read()
    process.join()
    return process.exitcode, said


def _words(command: str, folder: Path, out: Path) -> list[str]:
    """The words of a command, once there is in ``out`` what it adds to."""
    if ("lancedb" in command or "/lance" in command) and not HAS_LANCEDB:
        pytest.skip("needs vab[lancedb]")
    for name in ("store", "index", "lance"):
        if f"{{out}}/{name}" in command:
            shutil.copytree(folder / name, out / name)
    return command.format(**{"in": folder, "out": out, "root": ROOT}).split()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[:3])[:24])
def test_one_line_names_the_file(command: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    kept = out / ".kept"
    kept.write_text("kept")
    words = _words(command, folder, out)
    code, said = _in_a_process(words, partial(_fill, out, LARGEST.get(words[0], 1500)))
    assert code == 2, said
    assert "Traceback" not in said
    [line] = [line for line in said.splitlines() if line.startswith("vab ")]
    assert str(out) in line and any(word in line for word in ("written", "large", "full")), said
    assert kept.read_text() == "kept"
    assert not list(out.rglob(".*partial*"))
    if words[1] in ("add", "remove"):
        assert _in_a_process(["index", "verify", words[2]])[0] == 0


def _fill(out: Path, largest: int) -> None:
    """Let no file grow beyond so many bytes, and temporary ones lie in ``out``."""
    import resource

    tempfile.tempdir = str(out)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


@pytest.mark.skipif(sys.platform != "linux", reason="root may write everywhere; Linux can take that away")
@pytest.mark.parametrize("command", UNWRITABLE, ids=lambda command: " ".join(command.split()[:3])[:24])
def test_a_folder_that_may_not_be_written_is_one_line(command: str, folder: Path, tmp_path: Path) -> None:
    words = _words(command, folder, tmp_path)
    before = _contents(tmp_path)
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o444)
    for path in folders:
        path.chmod(0o555)
    try:
        code, said = _in_a_process(words, _obey_permissions)
    finally:
        for path in folders:
            path.chmod(0o755)
    assert code == 2, said
    assert "Traceback" not in said
    [line] = [line for line in said.splitlines() if line.startswith("vab ")]
    assert str(tmp_path) in line and "written" in line, said
    assert _contents(tmp_path) == before


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _obey_permissions() -> None:
    """Take from this process the right of root to write where permissions forbid it (capset(2), CAP_DAC_OVERRIDE)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; of rights 0 to 31, then of the others
    libc = ctypes.CDLL(None)
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0
