"""New sound under untouched pictures: same packets, exact length, in sync, all or nothing."""

import hashlib
import logging
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from made_clips import click_times, clicks, picture_numbers, steady

from vab.errors import MediaError
from vab.media import iter_frames, mux, probe, read_audio

TWO_MILLISECONDS = 0.002
VP9 = {"video_codec": "libvpx-vp9", "video_options": {"cpu-used": "8", "b": "1M"}, "audio_codec": "libopus"}


def payloads(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.size
        ]


def picture_times(path: Path) -> list[float]:
    """Presentation times from the container's own start."""
    with av.open(str(path)) as container:
        zero = container.start_time / av.time_base
        return [frame.time - zero for frame in container.decode(video=0)]


def noise(seconds: float, sample_rate: int, num_channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(num_channels, round(seconds * sample_rate), generator=generator)


@pytest.mark.parametrize(
    ("source", "out", "settings"),
    [
        ("clip.mp4", "out.mp4", {}),
        ("clip.mp4", "out.MOV", {}),
        ("clip.mp4", "out.m4v", {}),
        ("clip.mp4", "out.mkv", {}),
        ("clip.mkv", "out.mp4", {}),
        ("clip.webm", "out.webm", VP9),
        ("clip.webm", "out.mp4", VP9),
        ("clip.avi", "out.mp4", {"video_codec": "mpeg4", "video_options": {}, "audio_codec": "mp3"}),
        ("clip.mov", "out.mov", {"video_codec": "libx265", "video_options": {"x265-params": "log-level=0"}}),
    ],
)
def test_pictures_are_copied_packet_by_packet(make_clip, tmp_path, source, out, settings):
    times = [0.0, 0.04, 0.2, 0.28, 0.6, 0.64, 0.68]
    path = make_clip(source, times, sound=clicks([0.1], 2.0, 48_000, num_channels=2), **settings)
    mux(path, noise(5, 16_000), 16_000, tmp_path / out)
    assert payloads(tmp_path / out) == payloads(path)
    assert picture_times(tmp_path / out) == pytest.approx(picture_times(path), abs=0.0011)
    with av.open(str(tmp_path / out)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


@pytest.mark.parametrize(
    ("out", "sample_rate", "seconds"),
    [
        ("out.mp4", 16_000, 0.5),
        ("out.mp4", 24_000, 1.2345),
        ("out.mp4", 44_100, 5.0),
        ("out.mp4", 22_000, 5.0),
        ("out.mov", 16_000, 5.0),
        ("out.mov", 44_100, 0.5),
        ("out.mkv", 16_000, 0.5),
        ("out.mkv", 44_100, 5.0),
        ("out.webm", 24_000, 1.2345),
        ("out.webm", 44_100, 5.0),
    ],
)
@pytest.mark.parametrize("last_seconds", [0.04, 0.0712])
def test_sound_lasts_exactly_as_long_as_the_pictures(
    make_clip, tmp_path, out, sample_rate, seconds, last_seconds
):
    settings = VP9 if out.endswith("webm") else {}
    source = "clip.webm" if out.endswith("webm") else "clip.mp4"
    path = make_clip(source, steady(30), last_seconds=last_seconds, **settings)
    duration = probe(path).duration
    mux(path, noise(seconds, sample_rate), sample_rate, tmp_path / out)
    joined = probe(tmp_path / out)
    # Matroska does not store how long the last picture stands.
    is_matroska = Path(out).suffix in {".mkv", ".webm"}
    assert joined.duration == pytest.approx(duration, abs=0.033 if is_matroska else 1e-6)
    assert joined.audio is not None
    stored_rate = joined.audio.sample_rate
    assert read_audio(tmp_path / out, stored_rate).shape[1] == round(duration * stored_rate)
    with av.open(str(tmp_path / out)) as container:
        # Matroska counts the encoder's priming as well.
        assert container.duration / av.time_base == pytest.approx(duration, abs=0.01)
        if not is_matroska:
            sound = container.streams.audio[0]
            assert float(sound.duration * sound.time_base) == pytest.approx(duration, abs=1 / stored_rate)


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize(
    ("source", "out", "settings"),
    [
        ("clip.mp4", "out.mp4", {}),
        ("clip.mp4", "out.mov", {}),
        ("clip.mp4", "out.mkv", {}),
        ("clip.ts", "out.mp4", {}),
        ("clip.webm", "out.webm", VP9),
        ("clip.webm", "out.mp4", VP9),
    ],
)
@pytest.mark.parametrize("begin", [0.0, 0.52])
def test_sound_and_pictures_stay_in_sync(make_clip, tmp_path, source, out, settings, begin, sample_rate):
    """The second click falls on picture 20, before and after."""
    sound = clicks([0.1], 2.0, 48_000)
    path = make_clip(source, steady(40, begin=begin), sound=sound, **settings)
    moment = picture_times(path)[20]
    mux(path, torch.from_numpy(clicks([0.3, moment], 3, sample_rate)), sample_rate, tmp_path / out)
    found = click_times(read_audio(tmp_path / out, sample_rate).numpy(), sample_rate)
    assert found == pytest.approx([0.3, moment], abs=TWO_MILLISECONDS)
    assert picture_times(tmp_path / out)[20] == pytest.approx(moment, abs=TWO_MILLISECONDS)
    before, after = (np.concatenate(list(iter_frames(each, 10))) for each in (path, tmp_path / out))
    assert picture_numbers(before) == picture_numbers(after)


def test_orientation_and_tags_are_kept_and_old_sound_and_text_are_not(make_clip, tmp_path):
    path = make_clip(
        "clip.mp4",
        steady(5),
        rotation=90,
        sound=clicks([0.1], 1.0, 48_000, num_channels=2),
        tags={"title": "A dog", "artist": "Someone"},
    )
    for out in ("out.mp4", "out.mkv"):
        mux(path, noise(1, 16_000), 16_000, tmp_path / out)
        info = probe(tmp_path / out)
        assert info.video == probe(path).video
        assert info.video.rotation == 90
        assert info.audio.channels == 1
        with av.open(str(tmp_path / out)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["title"] == "A dog"
        assert tags["artist"] == "Someone"


def test_apple_name_of_hevc_is_kept(make_clip, tmp_path):
    settings = {"video_codec": "libx265", "video_options": {"x265-params": "log-level=0"}}
    path = make_clip("clip.mp4", steady(5), **settings)
    assert path.read_bytes().count(b"hev1") == 1
    renamed = tmp_path / "hvc1.mp4"
    renamed.write_bytes(path.read_bytes().replace(b"hev1", b"hvc1"))
    mux(renamed, noise(1, 16_000), 16_000, tmp_path / "out.mp4")
    assert b"hvc1" in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize("num_channels", [1, 2])
def test_pieces_sound_as_the_whole(make_clip, tmp_path, num_channels):
    path = make_clip("clip.mp4", steady(50))
    whole = noise(2, 16_000, num_channels)
    mux(path, whole, 16_000, tmp_path / "whole.mp4")
    mux(path, (piece for piece in whole.split(777, dim=1)), 16_000, tmp_path / "pieces.mp4")
    assert (tmp_path / "whole.mp4").read_bytes() == (tmp_path / "pieces.mp4").read_bytes()
    assert probe(tmp_path / "whole.mp4").audio.channels == num_channels


def test_short_sound_is_followed_by_silence_and_no_more_is_drawn_than_needed(make_clip, tmp_path):
    path = make_clip("clip.mp4", steady(50))
    mux(path, 0.5 * torch.ones(1, 8000), 16_000, tmp_path / "out.mp4")
    waveform = read_audio(tmp_path / "out.mp4", 16_000)
    assert waveform[:, 1000:7000].abs().mean() > 0.1
    assert waveform[:, 10_000:].abs().max() < 0.01

    num_drawn = 0

    def endless():
        nonlocal num_drawn
        while True:
            num_drawn += 1
            yield noise(1, 16_000)

    mux(path, endless(), 16_000, tmp_path / "out.mp4")
    assert num_drawn <= 4


def test_sound_is_close_to_what_was_given(make_clip, tmp_path):
    path = make_clip("clip.mp4", steady(50))
    for sample_rate in (16_000, 24_000, 44_100):
        time = torch.arange(2 * sample_rate) / sample_rate
        given = (0.4 * torch.sin(2 * torch.pi * (200 * time + 300 * time**2)))[None]
        mux(path, given, sample_rate, tmp_path / "out.mp4")
        heard = read_audio(tmp_path / "out.mp4", sample_rate)
        assert (heard - given).pow(2).mean().sqrt() < 0.02 * given.pow(2).mean().sqrt() * 5
        assert heard.abs().max() < 0.45


def test_a_clip_cut_inside_a_group_of_pictures(make_clip, tmp_path):
    """Pictures before the cut are hidden by an edit list, yet those after it need them."""
    path = make_clip("clip.mkv", steady(50), video_options={"g": "50", "bf": "0", "crf": "4"})
    cut = tmp_path / "cut.mp4"
    with av.open(str(path)) as source, av.open(str(cut), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream, opaque=True)
        for packet in source.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - 480, packet.dts - 480, copy
                output.mux(packet)
    expected = [index % 24 for index in range(12, 50)]
    assert picture_numbers(np.concatenate(list(iter_frames(cut, 25)))) == expected
    mux(cut, noise(3, 16_000), 16_000, tmp_path / "out.mp4")
    assert probe(cut).duration == pytest.approx(1.52)
    assert picture_numbers(np.concatenate(list(iter_frames(tmp_path / "out.mp4", 25)))) == expected
    assert read_audio(tmp_path / "out.mp4", 16_000).shape[1] == round(1.52 * 16_000)


def test_a_cut_off_video_is_joined_as_far_as_it_goes(make_clip, tmp_path, caplog):
    path = make_clip("cut_off.mp4", steady(100), container_options={"movflags": "+faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: (content.index(b"mdat") + len(content)) // 2])
    with caplog.at_level(logging.WARNING):
        mux(path, noise(4, 16_000), 16_000, tmp_path / "out.mp4")
    duration = probe(path).duration
    assert 0.5 < duration < 3.5
    assert probe(tmp_path / "out.mp4").duration == pytest.approx(duration)
    assert read_audio(tmp_path / "out.mp4", 16_000).shape[1] == round(duration * 16_000)
    assert "cut off" in caplog.text


def test_the_video_itself_may_be_replaced(make_clip, tmp_path):
    path = make_clip("clip.mp4", steady(25))
    packets = payloads(path)
    mux(path, noise(1, 16_000), 16_000, path)
    assert payloads(path) == packets
    assert probe(path).audio is not None
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mp4"]


def test_failure_leaves_what_was_there(make_clip, tmp_path):
    path = make_clip("clip.mp4", steady(100))
    out = tmp_path / "out.mp4"
    out.write_text("old")

    def failing():
        yield noise(1, 16_000)
        raise RuntimeError("the model broke")

    with pytest.raises(RuntimeError, match="the model broke"):
        mux(path, failing(), 16_000, out)
    assert out.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


def test_a_missing_folder_is_made(make_clip, tmp_path):
    path = make_clip("clip.mp4", steady(5))
    out = tmp_path / "a" / "b" / "-out with space:1.mp4"
    mux(path, noise(1, 16_000), 16_000, out)
    assert probe(out).audio is not None


def test_containers_that_cannot_hold_it_are_refused_in_one_line(make_clip, tmp_path):
    webm = make_clip("clip.webm", steady(5), video_codec="libvpx", video_options={})
    mp4 = make_clip("clip.mp4", steady(5))
    for path, out, reason in [
        (mp4, "out.avi", r"out\.avi: cannot write \.avi; use one of \.mp4"),
        (mp4, "out", r"out: cannot write no suffix; use one of \.mp4"),
        (webm, "out.mp4", r"clip\.webm: vp8 video cannot be stored in \.mp4; name the output out\.mkv"),
        (mp4, "out.webm", r"clip\.mp4: h264 video cannot be stored in \.webm; name the output out\.mkv"),
    ]:
        with pytest.raises(MediaError, match=reason) as caught:
            mux(path, noise(1, 16_000), 16_000, tmp_path / out)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / out).exists()


def test_sound_alone_is_no_video(make_clip, tmp_path):
    path = make_clip("sound.m4a", None, sound=clicks([0.1], 1, 48_000))
    with pytest.raises(MediaError, match="has no video stream"):
        mux(path, noise(1, 16_000), 16_000, tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (torch.zeros(3, 100), "1 or 2 channels"),
        (torch.zeros(1, 2, 100), "1 or 2 channels"),
        (torch.full((1, 100), torch.nan), "NaN or infinity"),
        ([], "holds no sound"),
        ([torch.zeros(1, 100), torch.zeros(2, 100)], "began with 1 channels"),
    ],
)
def test_a_wrong_waveform_is_a_value_error(make_clip, tmp_path, wrong, reason):
    path = make_clip("clip.mp4", steady(50))
    pieces = iter([wrong] if isinstance(wrong, torch.Tensor) else wrong)
    with pytest.raises(ValueError, match=reason):
        mux(path, pieces, 16_000, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
