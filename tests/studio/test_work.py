"""What the studio's page does, without a browser and without Gradio."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_clip
from tiny_studio import write_studio

from tasks import cli
from vab import media, studio
from vab.errors import ConfigError, MediaError, WeightsError
from vab.media import write_audio
from vab.studio.work import Request, Studio, save_options


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, a classifier, clips and an index of them."""
    folder = tmp_path_factory.mktemp("studio")
    write_audio(folder / "clips" / "3.wav", torch.randn(1, 16_000) * 0.1, 16_000)
    write_studio(folder)
    return folder


@pytest.fixture(scope="module")
def work(place: Path) -> Studio:
    return Studio(
        [place / "tiny.safetensors"],
        index=[place / "index"],
        classes=place / "classes.safetensors",
        device="cpu",
        max_seconds=5.0,
    )


def wanted(work: Studio, place: Path, **changes: object) -> Request:
    return replace(Request(place / "clips" / "0.mp4", work.systems[0]), **changes)  # type: ignore[arg-type]


def test_samples_are_files_to_play_and_to_keep(work: Studio, place: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    made = work.generate(wanted(work, place, seed=3, num_samples=2), on_progress=shares.append)
    assert (shares[0], shares[-1]) == (0.0, pytest.approx(1.0)) and shares == sorted(shares)
    samples = work.write(made, save_options("duck", -6.0, -23.0, -2.0), tmp_path)
    assert [sample.title for sample in samples] == ["Sample 1, seed 3", "Sample 2, seed 3"]
    for sample in samples:
        assert media.probe(sample.video).duration == pytest.approx(1.0, abs=0.01)
        assert media.probe(sample.audio).video is None
        settings = json.loads(sample.settings.read_text())
        assert (
            settings["save"] | {"loudness": -23.0, "peak": -2.0, "mix": -6.0, "duck": 12.0}
            == settings["save"]
        )
        assert sample.picture.read_bytes().startswith(b"\x89PNG")
    assert samples[0].audio.read_bytes() != samples[1].audio.read_bytes()


def test_frames_that_browsers_cannot_play_are_encoded_anew(work: Studio, tmp_path: Path) -> None:
    clip = write_tiny_clip(tmp_path / "clip.mp4", 0.6)
    (tmp_path / "clip.mkv").write_bytes(clip.read_bytes())  # a container that is no MP4 by its name
    made = work.generate(Request(tmp_path / "clip.mkv", work.systems[0]))
    [sample] = work.write(made, save_options("replace", 0.0, None, -1.0), tmp_path / "out")
    assert sample.video.suffix == ".mp4"
    video = media.probe(sample.video).video
    assert video is not None and video.codec == "h264"


def test_work_ends_when_its_report_raises(work: Studio, place: Path) -> None:
    class Stop(Exception):
        pass

    def stop(share: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        work.generate(wanted(work, place), on_progress=stop)
    assert work.generate(wanted(work, place))  # nothing holds the next job up


def test_two_users_wait_for_each_other(work: Studio, place: Path) -> None:
    at_once, most = 0, 0

    def report(share: float) -> None:
        nonlocal at_once, most
        at_once += 1 if share == 0 else -1
        most = max(most, at_once)

    threads = [
        threading.Thread(
            target=work.generate, args=[wanted(work, place, seed=seed)], kwargs={"on_progress": report}
        )
        for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, at_once) == (1, 0)


def test_bad_input_is_one_clear_line(work: Studio, place: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    long = write_tiny_clip(tmp_path / "long.mp4", 6.0)
    for changes, said in (
        ({"video": tmp_path / "text.mp4"}, r"text\.mp4"),
        ({"video": place / "clips" / "3.wav"}, "3.wav"),
        ({"video": long}, r"long\.mp4: 6 s; the studio takes 5 s"),
        ({"system": "/etc/passwd"}, "no system '/etc/passwd'; there are"),
        ({"num_samples": 9}, "1 to 4"),
        ({"duration": 0.0}, "above 0"),
    ):
        with pytest.raises((MediaError, ConfigError, ValueError), match=said) as caught:
            work.generate(wanted(work, place, **changes))
        assert "\n" not in str(caught.value)
    assert work.generate(wanted(work, place, video=long, duration=1.0))[0].clip.duration == 1.0


def test_what_strangers_send_is_decoded_in_a_process_of_its_own(place: Path, tmp_path: Path) -> None:
    remote = Studio([place / "tiny.safetensors"], device="cpu", is_remote=True)
    assert remote.check(place / "clips" / "0.mp4") == pytest.approx(1.0, abs=0.01)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError, match=r"text\.mp4"):
        remote.check(tmp_path / "text.mp4")


def test_a_search_gives_the_moments_that_matched(work: Studio, place: Path, tmp_path: Path) -> None:
    found = work.search(tmp_path, video=place / "clips" / "2.mp4", in_="video", top=2)
    assert len(found) == 2 and found[0].title == "1. 1.000 2.mp4, 0.0 to 1.0 s"
    assert found[0].clip is not None and media.probe(found[0].clip).video is not None
    assert len(work.search(tmp_path, text="a ball", top=9)) == 3
    sounds = work.search(tmp_path, audio=place / "clips" / "3.wav", in_="audio", top=1)
    assert sounds[0].clip is not None and sounds[0].clip.suffix == ".wav" and sounds[0].picture
    more = work.search_more(tmp_path, sounds[0], "audio", in_="audio", top=4)
    assert more[0].title.startswith("1. 1.000 3.wav,")
    with pytest.raises(ValueError, match="one of video, audio and text"):
        work.search(tmp_path)


def test_classes_over_time(work: Studio, place: Path, tmp_path: Path) -> None:
    found = work.classify(place / "clips" / "0.mp4", tmp_path, every=0.25, window=0.5)
    assert set(found.overall) == {"dog", "rain", "bell"}
    assert [time for time, _ in found.moments] == [0.0, 0.25, 0.5, 0.75]
    assert found.picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="above 0"):
        work.classify(place / "clips" / "0.mp4", tmp_path, every=0)


def test_systems_have_names_as_short_as_tells_them_apart(place: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tiny.safetensors").symlink_to(place / "tiny.safetensors")
    paths = [tmp_path / folder / "tiny.safetensors" for folder in ("a", "b")]
    assert Studio(paths[:1], device="cpu").systems == ["tiny.safetensors"]
    both = Studio(["demo", *paths], device="cpu")
    assert both.systems == ["demo", "a/tiny.safetensors", "b/tiny.safetensors"]
    assert both.generate(Request(place / "clips" / "0.mp4", both.systems[2]))
    assert Studio([paths[0], paths[0]], device="cpu").systems == [str(paths[0])]


def test_a_system_without_layouts_says_so(work: Studio, place: Path) -> None:
    assert work.layout_systems == []
    with pytest.raises(WeightsError, match="predicts no condition"):
        work.predict_layout(place / "clips" / "0.mp4", work.systems[0])


def test_without_gradio_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert cli.main(["studio"]) == 2
    assert "pip install 'vab[studio]'" in capsys.readouterr().err


def test_other_machines_are_let_in_only_when_that_is_said() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "example.org"):
        with pytest.raises(ConfigError, match=r"--allow-remote|vab\[studio\]"):
            studio.launch(host=host)


def test_a_closed_page_leaves_nothing_behind(place: Path) -> None:
    pytest.importorskip("gradio", reason="needs the extra vab[studio]")
    page = studio.launch([place / "tiny.safetensors"], classes=place / "classes.safetensors", device="cpu")
    address, folder = page.local_url, Path(page.temporary_folder.name)
    assert folder.is_dir()
    page.close(verbose=False)
    assert not folder.exists()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)
