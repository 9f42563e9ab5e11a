"""Named weights, against a server on this machine that cuts lines, ignores ranges and lies."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vab import weights
from vab.download import download
from vab.errors import WeightsError
from vab.weights import WeightsEntry

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path but /gone; options change how badly it behaves."""

    cut_after: int | None = None
    """Bytes after which each answer breaks off."""
    honours_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/weights.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path == "/gone":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and self.server.honours_ranges:
            if start >= len(CONTENT):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                self.end_headers()
                return
            self.send_response(206)
        else:
            start = 0
            self.send_response(200)
        body = CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def register(monkeypatch: pytest.MonkeyPatch, source: str, sha256: str | None = DIGEST) -> WeightsEntry:
    entry = WeightsEntry("test-weights", "codec", source, "MIT", sha256=sha256)
    monkeypatch.setattr(weights, "_ENTRIES", (entry,))
    return entry


def test_download_once(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, server.url)
    assert not entry.is_present
    path = weights.resolve("test-weights")
    assert path == cache / "test-weights.bin"
    assert path.read_bytes() == CONTENT
    assert entry.is_present
    assert weights.resolve("test-weights") == path
    assert len(server.ranges) == 1


def test_known_first_digits_are_enough(server: Server, tmp_path: Path) -> None:
    download(server.url, tmp_path / "a", sha256=DIGEST[:8])
    with pytest.raises(WeightsError, match="SHA-256"):
        download(server.url, tmp_path / "b", sha256="0" * 8)


def test_cut_download_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut_after = len(CONTENT) // 2
    download(server.url, tmp_path / "x", sha256=DIGEST)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_next_call_continues_what_the_last_left(server: Server, tmp_path: Path) -> None:
    server.cut_after = len(CONTENT) // 4
    with pytest.raises(WeightsError, match="bytes arrived"):
        download(server.url, tmp_path / "x", sha256=DIGEST, attempts=2)
    assert not (tmp_path / "x").exists()
    server.cut_after = None
    download(server.url, tmp_path / "x", sha256=DIGEST)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-"


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.honours_ranges = False
    (tmp_path / "x.part").write_bytes(b"something else")
    download(server.url, tmp_path / "x", sha256=DIGEST)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_complete_part_is_only_renamed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "x", sha256=DIGEST)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_too_long_part_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT + b"more")
    download(server.url, tmp_path / "x", sha256=DIGEST)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_wrong_content_is_refused_and_not_kept(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, server.url, sha256="0" * 64)
    with pytest.raises(WeightsError, match=f"SHA-256 is {DIGEST}, expected 0000"):
        weights.resolve("test-weights")
    assert not (cache / "test-weights.bin").exists()
    assert not (cache / "test-weights.bin.part").exists()


def test_without_network_the_message_says_what_to_place_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    register(monkeypatch, "http://127.0.0.1:1/weights.bin")
    with pytest.raises(WeightsError) as info:
        weights.resolve("test-weights")
    message = str(info.value)
    assert "\n" not in message
    for part in ("test-weights", "refused", "http://127.0.0.1:1/weights.bin", DIGEST, str(cache)):
        assert part in message


def test_gone_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="HTTP 404"):
        download(server.url.replace("weights.bin", "gone"), tmp_path / "x")
    assert len(server.ranges) == 1


def test_two_processes_share_one_download(server: Server, tmp_path: Path) -> None:
    threads = [threading.Thread(target=download, args=(server.url, tmp_path / "x")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_file_placed_by_hand_is_verified_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "http://127.0.0.1:1/weights.bin")
    cache.mkdir()
    placed = cache / "test-weights.bin"
    placed.write_bytes(b"another file")
    with pytest.raises(WeightsError, match=r"test-weights\.bin: SHA-256"):
        weights.resolve("test-weights")
    placed.write_bytes(CONTENT)
    assert weights.resolve("test-weights") == placed
    monkeypatch.setattr(weights, "check_sha256", None)
    assert weights.resolve("test-weights") == placed


def test_unknown_digest_is_not_verified(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "http://127.0.0.1:1/weights.bin", sha256=None)
    cache.mkdir()
    (cache / "test-weights.bin").write_bytes(b"anything")
    assert weights.resolve("test-weights").read_bytes() == b"anything"


def test_paths_and_unknown_names(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").touch()
    assert weights.resolve(tmp_path / "mine.safetensors") == tmp_path / "mine.safetensors"
    with pytest.raises(WeightsError, match="neither a file nor the name of weights"):
        weights.resolve("no-such-name")


def test_absent_bundled_file(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "never-shipped.safetensors", sha256=None)
    with pytest.raises(WeightsError, match=r"lacks the bundled file .*never-shipped\.safetensors"):
        weights.resolve("test-weights")


@pytest.mark.parametrize(
    ("name", "licence", "file"),
    [
        ("vggish", "Apache-2.0", ".pth"),
        ("panns-16khz", "CC-BY-4.0", ".pth"),
        ("panns-32khz", "CC-BY-4.0", ".pth"),
        ("passt", "Apache-2.0", ".pt"),
        ("imagebind", "CC-BY-NC-SA-4.0", ".pth"),
        ("wav2clip", "MIT", ".pt"),
        (
            "synchformer",
            "MIT, trained from Motionformer's weights: CC-BY-NC-4.0",
            "/synchformer_state_dict.pth",
        ),
    ],
)
def test_published_metrics_have_a_source_and_a_licence(name: str, licence: str, file: str) -> None:
    entry = weights.find(name)
    assert entry is not None
    assert (entry.kind, entry.licence) == ("metric", licence)
    assert entry.source.endswith(file) and entry.path.name == f"{name}.{file.split('.')[1]}"


def test_registry() -> None:
    names = [entry.name for entry in weights.entries()]
    assert len(set(names)) == len(names)
    expected = {"audiogen-medium-codec", "encodec-24khz", "dac-16khz", "dac-44khz", "eva02-l-14"}
    expected |= {"vggish", "panns-16khz", "panns-32khz", "passt", "imagebind", "wav2clip", "synchformer"}
    kinds = ("clip", "sync", "refiner", "vab", "search", "classes", "maskvat", "v-aura", "tiva")
    expected |= {f"demo-{kind}" for kind in kinds}
    expected.add("spectral-16khz")
    assert expected == set(names)
    for entry in weights.entries():
        assert entry.licence
        assert entry.is_bundled or entry.source.startswith("https://")
    codec = weights.find("audiogen-medium-codec")
    assert codec is not None
    assert codec.licence == "CC-BY-NC-4.0"
    assert codec.sha256 is not None
    assert len(codec.sha256) == 64
