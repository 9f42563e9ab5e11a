"""What probe says of a file: from its packets, not from its header."""

import subprocess
import sys

import av
import numpy as np
import pytest
from made_clips import clicks, steady

from vab.errors import MediaError
from vab.media import AudioInfo, VideoInfo, iter_frames, probe, read_audio


def test_streams_and_duration(make_clip):
    sound = clicks([0.1], 3.0, 44_100, num_channels=2)
    path = make_clip("clip.mp4", steady(50), sound=sound, sample_rate=44_100, rotation=-90)
    info = probe(path)
    assert info.path == path
    assert info.duration == pytest.approx(2.0)
    assert info.video == VideoInfo(width=48, height=64, rotation=270, average_fps=25.0, codec="h264")
    assert info.audio == AudioInfo(sample_rate=44_100, channels=2)
    assert info.require_video() is info
    assert info.require_audio() is info
    assert probe(str(path)) == probe(path)


def test_sound_alone_lasts_as_long_as_the_sound(make_clip):
    info = probe(make_clip("sound.m4a", None, sound=clicks([0.1], 1.25, 48_000)))
    assert info.duration == pytest.approx(1.25, abs=1e-3)
    assert info.video is None
    with pytest.raises(MediaError, match=r"sound\.m4a: has no video stream"):
        info.require_video()


def test_pictures_alone_have_no_sound(make_clip):
    with pytest.raises(MediaError, match=r"silent\.mp4: has no audio stream"):
        probe(make_clip("silent.mp4", steady(5))).require_audio()


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.flv", "clip.h264", "clip.gif", "clip.mjpeg"])
def test_duration_without_a_header_that_tells(make_clip, name):
    settings = {"container_options": {"live": "1"}} if name.endswith("mkv") else {}
    if name.endswith(("gif", "mjpeg")):
        pixel_format = {"gif": "rgb8", "mjpeg": "yuvj420p"}[name[5:]]
        settings = {"video_codec": name[5:], "pixel_format": pixel_format, "video_options": {}}
    assert probe(make_clip(name, steady(30), **settings)).duration == pytest.approx(1.2, abs=0.011)


def test_times_count_from_where_a_player_starts(make_clip):
    """An MPEG-TS clock starts at 1.4 s, this sound half a second later than the pictures."""
    path = make_clip("clip.ts", steady(50), sound=clicks([0.1], 1.0, 48_000), audio_start=0.5)
    assert probe(path).duration == pytest.approx(2.0, abs=1e-3)


def test_a_stream_that_appears_late_does_no_harm(make_clip):
    """Here a tag of sound late in an FLV file is made one of text, which FFmpeg takes for a new stream."""
    path = make_clip("late.flv", steady(150), sound=clicks([0.1], 6.0, 44_100), sample_rate=44_100)
    content = bytearray(path.read_bytes())
    position, sound_tags = 13, []
    while position < len(content):
        if content[position] == 8:
            sound_tags.append(position)
        position += 11 + int.from_bytes(content[position + 1 : position + 4], "big") + 4
    content[sound_tags[-20]] = 18
    path.write_bytes(content)
    with av.open(str(path)) as container, pytest.raises(IndexError):
        list(container.demux(video=0))
    assert probe(path).duration == pytest.approx(6.0, abs=0.03)
    assert sum(len(batch) for batch in iter_frames(path, 25, duration=6)) == 150


def test_a_cover_picture_is_no_video(tmp_path, make_clip):
    sound = make_clip("sound.mp4", None, sound=clicks([0.1], 1.0, 48_000))
    path = tmp_path / "covered.mp4"
    with av.open(str(sound)) as source, av.open(str(path), "w") as output:
        audio = output.add_stream_from_template(source.streams.audio[0])
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        output.mux([*cover.encode(picture), *cover.encode(None)])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = audio
                output.mux(packet)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    assert probe(path).video is None
    with pytest.raises(MediaError, match="has no video stream"):
        next(iter_frames(path, 5, duration=1.0))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.mp4", None, "no such file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"hello\n" * 100, "not a sound or video file"),
        ("text.txt", b"hello\n" * 100, "is a text file"),
        ("random.mp4", bytes(range(256)) * 50, r"random\.mp4: "),
    ],
)
def test_what_is_no_media_is_one_line(tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for read in (probe, lambda path: read_audio(path, 16_000), lambda path: list(iter_frames(path, 5))):
        with pytest.raises(MediaError, match=reason) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_is_no_media(tmp_path):
    with pytest.raises(MediaError, match="is a folder"):
        probe(tmp_path)


def test_names_are_never_options_or_protocols(make_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-i.mp4", "12:30.mp4", "a b%03d.mp4", "clé 🎬.mp4"):
        make_clip("plain.mp4", steady(5)).rename(tmp_path / name)
        assert probe(name).duration == pytest.approx(0.2)


def test_ffmpeg_stays_quiet(make_clip):
    """Its own messages go straight to the process's stderr, so a process of its own listens."""
    sound = 0.1 * np.random.default_rng(0).standard_normal((1, 192_000)).astype(np.float32)
    path = make_clip("quiet.mp4", steady(100), sound=sound)
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + 8000
    content[middle : middle + 8000] = b"\xff" * 8000
    path.write_bytes(content)
    program = (
        "import sys, logging; logging.disable(); from vab.media import iter_frames, mux, read_audio; "
        "path = sys.argv[1]; list(iter_frames(path, 5)); sound = read_audio(path, 16000); "
        "mux(path, sound, 16000, path + '.mp4')"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
