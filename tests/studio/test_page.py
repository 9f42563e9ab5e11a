"""Each tab of the studio in headless Chromium: a clip is sent, a result is downloaded; bad input is told."""

from __future__ import annotations

import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import Driver
from tiny_studio import write_studio
from tiny_tiva import write_tiny_tiva

from vab import media, studio
from vab.audio import Layout

pytest.importorskip("gradio", reason="needs the extra vab[studio]")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("studio")
    write_studio(folder)
    write_tiny_tiva(folder / "tiva.safetensors")
    served = studio.launch(
        [folder / "tiny.safetensors", folder / "tiva.safetensors"],
        index=[folder / "index"],
        classes=folder / "classes.safetensors",
        device="cpu",
        max_upload_mb=1,
        max_seconds=20,
    )
    yield served
    served.close(verbose=False)


@pytest.fixture(scope="module")
def driver(page: Any, browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    chromedriver = shutil.which("chromedriver")
    if chromedriver is None:
        pytest.skip("needs chromedriver on the PATH")
    with Driver(chromedriver, browser, tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def clips(page: Any) -> Path:
    """The clips that are indexed."""
    return Path(page.studio.indexes[0]).parent / "clips"


@pytest.fixture
def clip(shared_data: Path, tmp_path: Path) -> Path:
    """A real clip of two seconds."""
    source = shared_data / "clips" / "dev" / "asva_avsync15_dog_barking.mp4"
    return Path(shutil.copy(source, tmp_path / "dog.mp4"))


def open_tab(driver: Driver, page: Any, name: str) -> None:
    driver.open(page.local_url)
    driver.wait("return document.querySelector('[role=tab]')")
    driver.click(name)


def send(driver: Driver, label: str, file: Path) -> None:
    """Give a file to the upload of a label, and wait until it has arrived."""
    mark = """
    const block = [...document.querySelectorAll(".block")].find(each =>
        each.querySelector("[data-testid=block-label]")?.innerText.trim() === arguments[0] &&
        each.checkVisibility({visibilityProperty: true}) && each.querySelector("input[type=file]"));
    if (block) block.querySelector("input[type=file]").id = "here";
    return Boolean(block);
    """
    driver.wait(mark, label)
    driver.upload(file, "#here")
    driver.wait("return !document.querySelector('#here')")


def close_message(driver: Driver, text: str) -> str:
    """Wait for an error that says this, close all that are shown, and give it."""
    find = "return [...document.querySelectorAll('.toast-body')].map(each => each.innerText)"
    told = driver.wait(f"{find}.find(each => each.includes(arguments[0]))", text)
    driver.run("document.querySelectorAll('.toast-close').forEach(each => each.click())")
    driver.wait("return !document.querySelector('.toast-body')")
    return told


def downloaded(driver: Driver, label: str) -> Path:
    """The file that a button gives."""
    driver.click(label)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = list(driver.downloads.glob("*"))
        is_whole = not any(path.name.startswith(".") or path.suffix == ".crdownload" for path in found)
        if len(found) == 1 and is_whole:
            return found[0].rename(driver.downloads.parent / found[0].name)
        time.sleep(0.2)
    raise TimeoutError(label)


def test_generate_keep_and_mix(driver: Driver, page: Any, clip: Path, tmp_path: Path) -> None:
    open_tab(driver, page, "Generate")
    driver.click("Generate audio")
    close_message(driver, "no video yet")
    send(driver, "Video", clip)
    driver.press("return document.querySelector('button.label-wrap')")  # options that are shown stay empty
    driver.click("Generate audio")
    driver.wait("return document.querySelectorAll('.sample video').length === 1")
    names = "return [...document.querySelectorAll('.sample video, .sample img')].map(each => each.ariaLabel)"
    assert driver.run(names) == ["Sample 1, seed 0", "Waveform and spectrogram of sample 1"]
    made = downloaded(driver, "MP4 of sample 1")
    assert media.probe(made).duration == pytest.approx(media.probe(clip).duration, abs=0.05)
    settings = json.loads(downloaded(driver, "JSON of sample 1").read_text())
    assert (settings["seed"], settings["video"]) == (0, "dog.mp4")
    driver.click("Again, new seed")
    driver.wait("return document.body.innerText.includes('seed 1; play')")
    assert json.loads(downloaded(driver, "JSON of sample 1").read_text())["seed"] == 1


def test_bad_files_are_told_in_one_line(driver: Driver, page: Any, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    open_tab(driver, page, "Generate")
    send(driver, "Video", tmp_path / "text.mp4")
    driver.click("Generate audio")
    assert "/" not in close_message(driver, "text.mp4")
    (tmp_path / "large.mp4").write_bytes(b"x" * 1_100_000)
    open_tab(driver, page, "Generate")
    driver.upload(tmp_path / "large.mp4")
    close_message(driver, "exceed")
    folder = Path(page.temporary_folder.name)
    assert not [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 500_000]


@pytest.mark.parametrize("end", ["cancelled", "tab closed"])
def test_a_job_ends_when_it_is_not_wanted_any_more(
    driver: Driver, page: Any, clip: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def slow(_: object, *, on_progress: Callable[[float], None]) -> list[Any]:
        begun.set()
        try:
            for step in range(3000):
                on_progress(step / 3000)
                time.sleep(0.1)
        finally:
            ended.set()
        return []

    monkeypatch.setattr(page.studio, "generate", slow)
    open_tab(driver, page, "Generate")
    send(driver, "Video", clip)
    driver.click("Generate audio")
    assert begun.wait(60)
    if end == "cancelled":
        driver.click("Cancel")
    else:
        driver.open("about:blank")
    assert ended.wait(60)
    folder = Path(page.temporary_folder.name)
    driver.open("about:blank")
    limit = time.monotonic() + 60
    while list(folder.glob("tab-*")):
        assert time.monotonic() < limit
        time.sleep(0.3)


def test_pages_of_other_sites_are_refused(page: Any) -> None:
    request = urllib.request.Request(page.local_url, headers={"Origin": "http://example.org"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
    with urllib.request.urlopen(page.local_url) as reply:
        assert reply.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_search_plays_the_moment(driver: Driver, page: Any, clips: Path, tmp_path: Path) -> None:
    open_tab(driver, page, "Search")
    driver.click("Search by text")
    close_message(driver, "nothing to search by yet")
    send(driver, "Video or sound", clips / "2.mp4")
    driver.click("Search by its frames")
    driver.wait("return document.querySelectorAll('.thumbnail-item').length === 3")
    driver.run("document.querySelector('.thumbnail-item').click()")
    find = "return [...document.querySelectorAll('video')].map(each => each.src).find(each => each.endsWith('/1.mp4'))"
    with urllib.request.urlopen(driver.wait(find)) as reply:
        (tmp_path / "found.mp4").write_bytes(reply.read())
    assert media.probe(tmp_path / "found.mp4").duration == pytest.approx(1.0, abs=0.1)


def test_classify_jumps_to_a_moment(driver: Driver, page: Any, clip: Path) -> None:
    open_tab(driver, page, "Classify")
    send(driver, "Video to classify", clip)
    driver.click("Classify clip")
    driver.wait("return document.body.innerText.includes('3 moments')")
    driver.press("return document.querySelectorAll('.moments input')[1]")
    driver.wait(
        "return [...document.querySelectorAll('video')].some(each => Math.abs(each.currentTime - 1) < 0.2)"
    )


def test_compare_is_blind_until_the_choice(driver: Driver, page: Any, clip: Path) -> None:
    open_tab(driver, page, "Compare")
    send(driver, "Video to compare on", clip)
    driver.click("Compare systems")
    driver.wait("return document.body.innerText.includes('play them, then choose')")
    shown = driver.run("return document.body.innerText")
    assert "MP4 of sample" not in shown  # the files say how they were made
    driver.run("document.querySelector('input[type=radio][value=B]').click()")
    told = driver.wait("return document.body.innerText.match(/A is .*; B is .*You chose.*/)?.[0]")
    assert "tiny.safetensors" in told and "tiva.safetensors" in told
    assert json.loads(downloaded(driver, "JSON of sample 2").read_text())["video"] == "dog.mp4"


def test_a_layout_is_predicted_edited_and_followed(driver: Driver, page: Any, clip: Path) -> None:
    open_tab(driver, page, "Layout")
    driver.click("Erase")
    close_message(driver, "no layout yet")
    send(driver, "Video to lay out", clip)
    driver.click("Predict layout")
    driver.wait("return document.body.innerText.includes('now edit it')")
    before = Layout.read(downloaded(driver, "JSON of the layout"))
    driver.click("Paint")
    driver.wait("return document.body.innerText.includes('painted')")
    after = Layout.read(downloaded(driver, "JSON of the layout"))
    assert (after.values[:10] - 0.8).abs().max() < 1e-3
    assert after.values[10:].equal(before.values[10:])
    driver.click("Generate from it")
    driver.wait("return document.body.innerText.includes('made from the layout')")
    settings = json.loads(downloaded(driver, "JSON of sample 1").read_text())
    assert settings["given_conditions"]


def test_every_control_has_a_name_and_can_be_reached_by_keyboard(driver: Driver, page: Any) -> None:
    script = """
    const named = each => each.ariaLabel || each.title || each.innerText?.trim() || each.labels?.length ||
        each.closest("label, fieldset")?.innerText.trim();
    return [...document.querySelectorAll("button, input, select, textarea")].filter(each =>
        !each.closest("[aria-hidden=true]") && each.checkVisibility({visibilityProperty: true}) &&
        each.type !== "file" && (!named(each) || each.tabIndex < 0)).map(each => each.outerHTML.slice(0, 200));
    """
    for name in ("Generate", "Search", "Compare", "Layout"):
        open_tab(driver, page, name)
        assert driver.run(script) == []
