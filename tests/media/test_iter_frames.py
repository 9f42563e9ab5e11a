"""Frames at a rate: by time, upright, in any size and pixel format, past damage."""

import logging
from pathlib import Path

import av
import numpy as np
import pytest
from made_clips import clicks, grey, picture_numbers, steady

from vab.errors import MediaError
from vab.media import iter_frames
from vab.timing import num_frames


def read_frames(path: Path, fps: float, **settings) -> np.ndarray:
    return np.concatenate(list(iter_frames(path, fps, **settings)))


def shown_at(times: list[float], moments: np.ndarray) -> list[int]:
    """Number of the picture on display at each moment, modulo 24."""
    numbers = np.searchsorted(times, moments, side="right") - 1
    return [int(number) % 24 for number in np.maximum(numbers, 0)]


@pytest.mark.parametrize("fps", [1, 3, 10, 12.5, 25, 40])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov"])
def test_variable_frame_rate_is_sampled_by_time(make_clip, name, fps):
    times = [0.0, 0.1, 0.5, 0.56, 0.6, 1.4, 1.41, 1.95]
    path = make_clip(name, times, last_seconds=0.25)
    frames = read_frames(path, fps, duration=2.2)
    assert len(frames) == num_frames(2.2, fps)
    assert frames.dtype == np.uint8
    assert frames.shape[1:] == (48, 64, 3)
    assert picture_numbers(frames) == shown_at(times, (np.arange(len(frames)) + 0.5) / fps)


def test_a_picture_due_at_the_very_moment_is_shown(make_clip):
    path = make_clip("clip.mp4", steady(10))
    # Moments 0.04, 0.12, ... are presentation times of pictures 1, 3, ...
    assert picture_numbers(read_frames(path, 12.5)) == [1, 3, 5, 7, 9]


def test_first_picture_stands_before_its_time_and_last_is_held(make_clip):
    sound = clicks([0.1], 2.0, 48_000)
    path = make_clip("clip.mp4", steady(10, begin=0.5), sound=sound)
    assert picture_numbers(read_frames(path, 10)) == [0, 0, 0, 0, 0, 1, 3, 6, 8]
    assert picture_numbers(read_frames(path, 10, duration=1.2))[-4:] == [8, 9, 9, 9]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("clip.mp4", {}),
        ("long_group.mp4", {"video_options": {"g": "250", "crf": "4"}}),
        ("clip.mkv", {}),
        ("clip.ts", {}),
        ("clip.flv", {}),
        ("clip.avi", {"video_codec": "mpeg4", "video_options": {}}),
        ("clip.webm", {"video_codec": "libvpx", "video_options": {"b": "2M"}}),
        ("clip.h264", {}),
    ],
)
def test_a_piece_is_that_piece_of_the_whole(make_clip, name, settings):
    path = make_clip(name, steady(90), **settings)
    whole = picture_numbers(read_frames(path, 25, duration=3.6))
    assert whole == [index % 24 for index in range(90)]
    for begin in (1, 10, 37, 60, 89):
        piece = read_frames(path, 25, start=begin / 25, duration=0.2)
        assert picture_numbers(piece) == (whole + whole[-1:] * 5)[begin : begin + 5]


def test_start_past_the_end_holds_the_last_picture(make_clip):
    path = make_clip("clip.mp4", steady(20))
    for start in (5, 1e18):
        assert picture_numbers(read_frames(path, 10, start=start, duration=0.2)) == [19, 19]
    with pytest.raises(ValueError, match="nothing to show"):
        iter_frames(path, 10, start=5)


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_pictures_stand_upright(make_clip, rotation, is_mirrored):
    stored = np.full((48, 64, 3), 40, np.uint8)
    stored[:24, :32] = 220
    path = make_clip("clip.mp4", [0.0], pictures=[stored], rotation=rotation, is_mirrored=is_mirrored)
    upright = np.rot90(stored, rotation // 90)
    if is_mirrored:
        upright = upright[:, ::-1]
    [frame] = read_frames(path, 1)
    assert frame.shape == upright.shape
    assert np.abs(frame.astype(int) - upright).mean() < 4
    [small] = read_frames(path, 1, max_size=24)
    assert small.shape == (upright.shape[0] // 2, upright.shape[1] // 2, 3)
    assert np.abs(small.astype(int) - upright[::2, ::2]).mean() < 8


def test_max_size_shrinks_the_shorter_side_only_when_larger(make_clip):
    path = make_clip("clip.mp4", [0.0], size=(64, 48))
    assert read_frames(path, 1, max_size=12).shape == (1, 12, 16, 3)
    assert read_frames(path, 1, max_size=48).shape == (1, 48, 64, 3)
    assert read_frames(path, 1, max_size=500).shape == (1, 48, 64, 3)
    narrow = make_clip("narrow.mkv", [0.0], size=(64, 2), pixel_format="yuv444p")
    assert read_frames(narrow, 1, max_size=1).shape == (1, 1, 32, 3)


def test_batches_hold_batch_size_frames(make_clip):
    path = make_clip("clip.mp4", steady(10))
    assert [len(batch) for batch in iter_frames(path, 25, batch_size=4)] == [4, 4, 2]


@pytest.mark.parametrize(
    ("codec", "pixel_format", "size"),
    [
        ("libx264", "yuv444p", (55, 43)),
        ("libx264", "yuv420p10le", (64, 48)),
        ("libx264", "yuv444p", (1, 1)),
        ("ffv1", "gray", (33, 17)),
        ("ffv1", "bgra", (33, 17)),
        ("ffv1", "yuva444p", (32, 16)),
        ("ffv1", "gbrp10le", (32, 16)),
    ],
)
def test_any_pixel_format_and_size(make_clip, codec, pixel_format, size):
    path = make_clip(
        "clip.mkv", steady(4), video_codec=codec, pixel_format=pixel_format, size=size, video_options={}
    )
    frames = read_frames(path, 25)
    assert frames.shape == (4, size[1], size[0], 3)
    assert picture_numbers(frames) == [0, 1, 2, 3]


def test_colours_follow_the_tagged_matrix(tmp_path):
    red = np.full((32, 32, 3), (200, 30, 40), np.uint8)
    for space, tag in (("ITU709", 1), ("SMPTE170M", 6)):
        path = tmp_path / f"{space}.mkv"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
            stream.codec_context.colorspace = tag
            stream.codec_context.color_range = 1
            frame = av.VideoFrame.from_ndarray(red, format="rgb24").reformat(
                format="yuv444p", dst_colorspace=space, dst_color_range="MPEG"
            )
            output.mux([*stream.encode(frame), *stream.encode(None)])
        assert np.abs(read_frames(path, 25).astype(int) - red).max() <= 3


def test_a_change_of_size_on_the_way_keeps_the_first_size(tmp_path, make_clip):
    small = make_clip("small.h264", steady(5), size=(32, 24))
    large = make_clip("large.h264", steady(5), size=(64, 48))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    frames = read_frames(joined, 25, duration=0.4)
    assert frames.shape == (10, 24, 32, 3)
    assert picture_numbers(frames) == [0, 1, 2, 3, 4] * 2


def test_damage_in_the_middle_is_skipped_with_a_warning(make_clip, caplog):
    path = make_clip("damaged.mp4", steady(100), size=(128, 96))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        frames = read_frames(path, 25)
    assert len(frames) == 100
    assert picture_numbers(frames[:20]) == list(range(20))
    assert picture_numbers(frames[-1:]) == [99 % 24]
    assert "damaged" in caplog.text


def test_a_cut_off_file_gives_what_is_there(make_clip, caplog):
    path = make_clip("cut.mp4", steady(100), container_options={"movflags": "+faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: (content.index(b"mdat") + len(content)) // 2])
    with caplog.at_level(logging.WARNING):
        frames = read_frames(path, 25)
    assert 20 < len(frames) < 80
    assert picture_numbers(frames[:20]) == list(range(20))
    assert "cut off" in caplog.text
    assert len(read_frames(path, 25, duration=4)) == 100


def test_a_file_of_headers_alone_is_an_error(make_clip):
    path = make_clip("headers.mp4", steady(50), container_options={"movflags": "+faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 4])
    for duration in (None, 1.0):
        with pytest.raises(MediaError, match=r"headers\.mp4"):
            read_frames(path, 5, duration=duration)


def test_no_video_is_an_error(make_clip):
    path = make_clip("sound.m4a", None, sound=clicks([0.1], 1, 48_000))
    for duration in (None, 1.0):
        with pytest.raises(MediaError, match=r"sound\.m4a: has no video stream"):
            read_frames(path, 5, duration=duration)


@pytest.mark.parametrize(
    "wrong", [{"fps": 0}, {"start": -1.0}, {"batch_size": 0}, {"max_size": 0}, {"duration": 0.0}]
)
def test_wrong_arguments_are_named(make_clip, wrong):
    path = make_clip("clip.mp4", [0.0])
    with pytest.raises(ValueError, match=r"must be positive|nothing to show"):
        iter_frames(path, **{"fps": 5, **wrong})


def test_grey_levels_of_made_clips_survive(make_clip):
    assert abs(read_frames(make_clip("clip.mp4", [0.0]), 1).mean() - grey(0)) < 2
