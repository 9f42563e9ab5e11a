"""Adapt, embed, index, search and serve on the command line and over HTTP, at toy size."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
import yaml
from starlette.testclient import TestClient
from tiny import VISUAL_FPS, write_tiny_clip, write_tiny_model

from tasks import cli
from tasks.retrieval import serve
from tasks.retrieval.options import AdaptOptions
from tasks.retrieval.serve import make_app
from vab.config import from_dict
from vab.models.files import load_model
from vab.retrieval.search import Index
from vab.retrieval.sources import EncodedClip, FileSource

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "retrieval").glob("*.yaml"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips, weights and an index of them."""
    folder = tmp_path_factory.mktemp("search")
    for number in range(4):
        write_tiny_clip(folder / "clips" / f"{number}.mp4", 1.0, seed=number)
    write_tiny_model(folder / "tiny.safetensors")
    arguments = [
        str(folder / "clips"),
        "-o",
        str(folder / "index"),
        "--weights",
        str(folder / "tiny.safetensors"),
    ]
    assert cli.main(["index", "build", *arguments]) == 0
    return folder


def test_search_finds_the_clip_itself(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for modality in ("video", "audio"):
        capsys.readouterr()
        query = [f"--{modality}", str(place / "clips" / "2.mp4"), "--in", modality, "--top", "2", "--json"]
        assert cli.main(["search", str(place / "index"), *query]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        assert [result["rank"] for result in results] == [1, 2]
        assert (results[0]["file"], results[0]["start"]) == ("2.mp4", 0.0)
        assert results[0]["score"] == pytest.approx(1, abs=1e-4)


def test_the_page_holds_everything_in_one_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = place / "page.html"
    arguments = [
        str(place / "index"),
        "--text",
        "<!--<script></script><b>",
        "--top",
        "1",
        "--html",
        str(page),
    ]
    assert cli.main(["search", *arguments]) == 0
    text = page.read_text()
    assert "data:video/mp4;base64," in text
    assert "data:image/jpeg;base64," in text
    assert "data:image/png;base64," in text
    assert "http" not in text
    assert "<!--<script>" not in text
    assert "</script><b>" not in text
    [data] = re.findall(r'<script type="application/json" id="found">(.*?)</script>', text)
    assert json.loads(data)["title"] == "video by text: <!--<script></script><b>"
    assert "| 1 " in capsys.readouterr().out.replace("│", "|")


def test_questions_that_cannot_be_answered_are_one_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_tiny_model(tmp_path / "other.safetensors", window_seconds=0.8)
    index, clip = str(place / "index"), str(place / "clips" / "0.mp4")
    for arguments, said in (
        ([index], "one of video, audio and text"),
        ([index, "--text", "a", "--video", clip], "one of"),
        ([index, "--text", "a", "--top", "0"], "at least 1"),
        ([str(tmp_path), "--text", "a"], "not an index"),
        ([index, "--text", "a", "--weights", str(other)], "was built with"),
        ([index, "--audio", str(tmp_path / "no.wav")], "no.wav"),
    ):
        assert cli.main(["search", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "Traceback" not in error


def test_embed_writes_what_the_library_computes(place: Path, tmp_path: Path) -> None:
    weights = ["--weights", str(place / "tiny.safetensors")]
    clips = [str(place / "clips" / f"{number}.mp4") for number in range(2)]
    for modality in ("audio", "video"):
        assert (
            cli.main(["embed", *clips, "--modality", modality, "-o", str(tmp_path / "x.npy"), *weights]) == 0
        )
        vectors = np.load(tmp_path / "x.npy")
        index = Index.open(place / "index", device="cpu")
        for clip, vector in zip(clips, vectors, strict=True):
            np.testing.assert_allclose(vector[None], index.embed(modality, clip).numpy(), atol=1e-6)
    assert cli.main(["embed", *clips, "no.mp4", "-o", str(tmp_path / "x.json"), *weights]) == 2
    document = json.loads((tmp_path / "x.json").read_text())
    assert [each["input"] for each in document["embeddings"]] == clips
    assert cli.main(["embed", "a dog", "--modality", "text", "-o", str(tmp_path / "x.bin"), *weights]) == 2


def test_add_and_remove_on_the_command_line(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "clips", tmp_path / "clips")
    shutil.copytree(place / "index", tmp_path / "index")
    write_tiny_clip(tmp_path / "clips" / "new.mp4", 1.0, seed=50)
    index = str(tmp_path / "index")
    assert cli.main(["index", "add", index, str(tmp_path / "clips" / "new.mp4")]) == 0
    assert "1 added" in capsys.readouterr().out
    assert cli.main(["index", "remove", index, str(tmp_path / "clips" / "0.mp4")]) == 0
    assert "1 removed, 4 left" in capsys.readouterr().out
    assert cli.main(["index", "add", index, str(place / "clips" / "0.mp4")]) == 0  # of another media root
    assert cli.main(["index", "verify", index]) == 0
    assert "sound, 5 clips" in capsys.readouterr().out
    (tmp_path / "index" / "audio.faiss").write_bytes(b"")
    assert cli.main(["index", "verify", index]) == 2
    assert "audio.faiss is not the file" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_build_keeps_what_is_done_and_resumes(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    encode = FileSource.encode

    def stop_at_the_third(self: FileSource, *arguments: Any) -> EncodedClip:
        if self.path.name == "2.mp4":
            os.kill(os.getpid(), number)
        return encode(self, *arguments)

    index = str(tmp_path / "index")
    command = [
        "index",
        "build",
        str(place / "clips"),
        "-o",
        index,
        "--weights",
        str(place / "tiny.safetensors"),
    ]
    monkeypatch.setattr(FileSource, "encode", stop_at_the_third)
    assert cli.main(command) == code
    assert "stopped; what is done is saved; re-run to resume" in capsys.readouterr().err
    assert cli.main(["search", index, "--text", "a"]) == 2
    assert "was interrupted" in capsys.readouterr().err
    monkeypatch.setattr(FileSource, "encode", encode)
    assert cli.main(command) == 0
    assert "2 added, 2 there already: 4 clips" in capsys.readouterr().out


@pytest.fixture(scope="module")
def client(place: Path) -> TestClient:
    app = make_app(Index.open(place / "index", device="cpu"), host="127.0.0.1", max_upload_bytes=100_000)
    return TestClient(app, base_url="http://127.0.0.1")


def test_the_served_page_and_api_answer(client: TestClient, place: Path) -> None:
    assert "vab search" in client.get("/").text
    assert client.get("/api/info").json()["clips"] == 4
    clip = (place / "clips" / "3.mp4").read_bytes()
    sent = client.post("/api/search", params={"by": "video", "in": "video", "top": 2}, content=clip).json()
    assert sent["results"][0]["file"] == "3.mp4"
    known = client.get("/api/search", params={"clip": "3.mp4", "by": "video", "in": "video", "top": 2}).json()
    assert [each["id"] for each in known["results"]] == [each["id"] for each in sent["results"]]
    words = client.get("/api/search", params={"text": "a ball"}).json()
    assert len(words["results"]) == 4
    first = sent["results"][0]
    whole = client.get(f"/{first['clip']}")
    assert whole.headers["content-type"] == "video/mp4"
    piece = client.get(f"/{first['clip']}", headers={"range": "bytes=10-19"})
    assert (piece.status_code, piece.content) == (206, whole.content[10:20])
    assert client.get(f"/{first['clip']}", headers={"range": "bytes=99999999-"}).status_code == 416
    assert client.get(f"/{first['thumbnail']}").content[:2] == b"\xff\xd8"
    assert client.get(f"/{first['spectrogram']}").content[:4] == b"\x89PNG"


@contextmanager
def _served(config: uvicorn.Config) -> Iterator[int]:
    """The port of a server in a thread."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def test_a_browser_shows_what_was_asked(client: TestClient, browser: str, tmp_path: Path) -> None:
    """A question in the address is asked when the page opens; its results can be seen, and asked from again."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    with _served(uvicorn.Config(client.app, host="127.0.0.1", port=0, log_level="error")) as port:
        address = f"http://127.0.0.1:{port}/#text=a+ball&top=5&in=video"
        page = subprocess.run(
            [browser, *words, "--virtual-time-budget=20000", address],
            capture_output=True,
            text=True,
            timeout=500,
            check=True,
        ).stdout
    assert "video by text: a ball: 4 clips" in page
    assert page.count("<article>") == page.count(">more by its audio<") == 4
    assert page.count("/thumbnail") == page.count("/spectrogram") == 4


def test_the_served_api_refuses_what_it_must(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.media, "decode_limited", lambda decode, *what, **_: decode(*what))
    big = client.post("/api/search", params={"by": "video"}, content=b"x" * 100_001)
    assert (big.status_code, big.json()["error"]) == (413, "files up to 0.1 MB are taken")
    for parameters, content in (
        ({}, None),
        ({"by": "smell", "clip": "3.mp4"}, None),
        ({"text": "a", "top": "1000"}, None),
        ({"text": "a", "top": "x"}, None),
        ({"text": "a", "in": "taste"}, None),
        ({"text": "a" * 2000}, None),
        ({"by": "video", "clip": "../../etc/passwd"}, None),
        ({"by": "video"}, b"not a video"),
        ({"by": "video"}, b""),
        ({"by": "text", "clip": "3.mp4"}, None),
        ({"by": "video", "clip": "3.mp4", "index": "7"}, None),
    ):
        method = "GET" if content is None else "POST"
        reply = client.request(method, "/api/search", params=parameters, content=content)
        assert reply.status_code == 400
        assert "/tmp" not in reply.json()["error"]
    for path in (
        "0/video/99/clip",
        "0/video/0/secret",
        "0/smell/0/clip",
        "9/video/0/clip",
        "0/video/-1/clip",
        "0/video/..%2f/clip",
    ):
        assert client.get(f"/api/{path}").status_code == 404
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_pages_of_other_sites_are_refused(client: TestClient) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        for path in ("info", "search?text=a", "0/video/0/thumbnail"):
            assert client.get(f"/api/{path}", headers=headers).status_code == 403
        assert client.post("/api/search?by=video", content=b"x", headers=headers).status_code == 403
    for headers in ({"origin": "http://127.0.0.1"}, {"sec-fetch-site": "same-origin"}):
        assert client.get("/api/info", headers=headers).status_code == 200


def test_the_page_has_no_inline_script_and_cannot_be_framed(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    scripts = re.findall(r"<script([^>]*)>([^<]*)</script>", page.text)
    assert scripts == [(' type="application/json" id="found"', "null"), (' src="page.js" defer', "")]
    assert "<style" not in page.text
    for name, kind in (("page.js", "text/javascript"), ("page.css", "text/css")):
        assert client.get(f"/{name}").headers["content-type"].startswith(kind)


def test_slow_requests_end(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr(serve._Question, "decode", lambda *_: time.sleep(0.5))
    reply = client.post("/api/search", params={"by": "video"}, content=b"slow")
    assert (reply.status_code, "more than 0.05 s" in reply.json()["error"]) == (408, True)


def test_connections_without_a_request_are_closed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "HEADER_SECONDS", 0.1)
    config = uvicorn.Config(client.app, host="127.0.0.1", port=0, **serve.server_settings())
    with _served(config) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        whole = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        slow.sendall(whole)  # a connection that asked once has no more time for its next request
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        slow.sendall(whole[:20])
        while slow.recv(4096):
            pass


def test_other_machines_are_let_in_only_when_that_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: None)
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        assert cli.main(["serve", str(place / "index"), "--host", host]) == 2
        assert "--allow-remote" in capsys.readouterr().err
        assert cli.main(["serve", str(place / "index"), "--host", host, "--allow-remote"]) == 0
        assert "no log-in" in capsys.readouterr().err
    assert cli.main(["serve", str(place / "index"), "--host", "localhost"]) == 0
    assert capsys.readouterr().err == ""


def test_several_indexes_are_searched_as_one(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_clip(tmp_path / "more" / "9.mp4", 1.0, seed=9)
    weights = ["--weights", str(place / "tiny.safetensors")]
    other = str(tmp_path / "index")
    assert cli.main(["index", "build", str(tmp_path / "more"), "-o", other, *weights]) == 0
    for file, number in ((place / "clips" / "1.mp4", 0), (tmp_path / "more" / "9.mp4", 1)):
        capsys.readouterr()
        query = ["--video", str(file), "--in", "video", "--top", "5", "--json"]
        assert cli.main(["search", str(place / "index"), other, *query]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        assert (results[0]["file"], results[0]["index"], len(results)) == (str(file), number, 5)
        assert [result["score"] for result in results] == sorted((r["score"] for r in results), reverse=True)
    rows = Index.open(place / "index", other).search(video=tmp_path / "more" / "9.mp4", in_="video", top=1)
    assert (rows[0].index, rows[0].id) == (1, "9.mp4")


def test_adapt_then_evaluate(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    weights = str(place / "tiny.safetensors")
    _extract(place / "clips", store)
    arguments = [
        "--store",
        str(store),
        "--weights",
        weights,
        "--training.batch_size",
        "4",
        "--training.precision",
        "32",
    ]
    short = ["--training.max_steps", "2"]
    for init in ("pretrained", "scratch"):
        out = tmp_path / init
        assert cli.main(["adapt", *arguments, *short, "--init", init, "-o", str(out), "--device", "cpu"]) == 0
        _, card = load_model(out / "encoder.safetensors")
        assert card.type == "vab-encoder"
        assert card.provenance["from"]["init"] == init
        assert card.provenance["temperature"] != 0.05
    tables = {
        init: load_model(tmp_path / init / "encoder.safetensors")[0].code_embedding.tables
        for init in ("pretrained", "scratch")
    }
    assert not (tables["pretrained"] - tables["scratch"]).abs().max() < 1e-3
    results = {}
    for through in ("matrix", "faiss"):
        document = tmp_path / f"{through}.json"
        command = ["evaluate", "retrieval", "--store", str(store), "--split", "", "--through", through]
        assert (
            cli.main(
                [
                    *command,
                    "--weights",
                    str(tmp_path / "scratch" / "encoder.safetensors"),
                    "-o",
                    str(document),
                ]
            )
            == 0
        )
        results[through] = json.loads(document.read_text())["metrics"]
    assert results["matrix"] == results["faiss"]
    assert results["matrix"]["chance"]["num_queries"] == 4
    listed = tmp_path / "list.txt"
    listed.write_text("0\nnot-there\n")
    assert cli.main([*command, "--weights", weights, "--clips", str(listed)]) == 0
    assert "1 of the clips" in capsys.readouterr().err
    assert (
        cli.main(
            [
                "generate",
                str(place / "clips" / "0.mp4"),
                "--weights",
                str(out / "encoder.safetensors"),
                "-o",
                str(tmp_path),
            ]
        )
        == 2
    )
    assert "makes no" in capsys.readouterr().err


def _extract(clips: Path, store: Path) -> None:
    arguments = [str(clips), "--store", str(store), "--codec", "tiny-encodec", "--encoder", "tiny-clip"]
    rates = ["--visual-fps", str(VISUAL_FPS), "--clip-seconds", "1.0", "--workers", "1"]
    assert cli.main(["extract", *arguments, *rates]) == 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_sound(path: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    options = from_dict(AdaptOptions, {**values, "store": ["x"], "out": "y"}, source=str(path))
    assert options.objective.temperature == 0.05
    assert (options.data.mixup_prob, options.data.roll_prob) == (0.5, 0.1)
