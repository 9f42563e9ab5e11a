"""Every awkward file of the shared collection: the right result, or one line that says what is wrong."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from vab.errors import MediaError
from vab.media import iter_frames, mux, probe, read_audio
from vab.timing import num_frames


@dataclass(frozen=True)
class Expected:
    """Upright size, seconds of video, and stored sound (rate, channels) or None."""

    size: tuple[int, int]
    duration: float
    sound: tuple[int, int] | None


EXPECTED: dict[str, Expected | str] = {
    "real_no_audio_stream.mp4": Expected((540, 360), 9.0, None),
    "real_rotation180_vfr_quiet.mp4": Expected((1280, 720), 2.3798, (48_000, 1)),
    "real_rotation90_0.1s_noaudio.mov": Expected((320, 568), 0.1, None),
    "real_rotation270_0.1s_noaudio.mov": Expected((320, 568), 0.1, None),
    "real_webm_vp9_alpha_200x200.webm": Expected((200, 200), 5.0, (48_000, 2)),
    "real_webm_vp8_vorbis_1s.webm": Expected((1280, 720), 0.999, (44_100, 2)),
    "real_audio_5.1_48k.mp4": Expected((1280, 720), 5.28, (48_000, 6)),
    "real_mp3_audio_half_silent.mp4": Expected((640, 360), 11.2, (44_100, 2)),
    "real_hevc_10bit.mp4": Expected((200, 200), 1.0, None),
    "-real-name-starts-with-dash-1x1.mp4": Expected((1, 1), 5.0, None),
    "made_vfr.mp4": Expected((398, 224), 4.0, (44_100, 1)),
    "made_rotation90_audio.mp4": Expected((456, 256), 3.0, (44_100, 1)),
    "made_vp9_opus.webm": Expected((398, 224), 3.007, (48_000, 1)),
    "made_short_0.3s.mp4": Expected((398, 224), 0.32, (44_100, 1)),
    "made_audio_only.mp4": "has no video stream",
    "made_truncated_faststart.mp4": Expected((456, 256), 2.0, (44_100, 1)),
    "made_silent_audio.mp4": Expected((398, 224), 3.2, (44_100, 2)),
    "made_video2s_audio5s.mp4": Expected((456, 256), 2.0, (44_100, 1)),
    "made_odd_size_255x143.mp4": Expected((255, 143), 2.0, (44_100, 2)),
    "made_zero_bytes.mp4": "is empty",
    "made_text_renamed.mp4": "not a sound or video file",
}


@pytest.fixture(scope="session")
def awkward(shared_data: Path) -> Path:
    folder = shared_data / "awkward"
    if not folder.is_dir():
        pytest.skip(f"no awkward files at {folder}")
    return folder


def test_every_file_of_the_manifest_is_expected_here(awkward):
    with (awkward / "manifest.csv").open(newline="", encoding="utf-8") as file:
        assert {row["file"] for row in csv.DictReader(file)} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_right_result_or_one_line(awkward, tmp_path, name):
    path, out, expected = awkward / name, tmp_path / "out.mp4", EXPECTED[name]
    sound = torch.zeros(1, 16_000)
    if isinstance(expected, str):
        for act in (lambda: list(iter_frames(path, 5)), lambda: mux(path, sound, 16_000, out)):
            with pytest.raises(MediaError, match=expected) as caught:
                act()
            assert str(caught.value).startswith(str(path))
            assert "\n" not in str(caught.value)
        assert not out.exists()
        return

    info = probe(path).require_video()
    assert (info.video.width, info.video.height) == expected.size
    assert info.duration == pytest.approx(expected.duration, abs=1e-4)
    frames = np.concatenate(list(iter_frames(path, 5, max_size=32)))
    assert len(frames) == num_frames(info.duration, 5)
    assert min(frames.shape[1:3]) == min(32, *expected.size)

    if expected.sound is None:
        assert info.audio is None
        with pytest.raises(MediaError, match="has no audio stream"):
            read_audio(path, 16_000)
    else:
        assert (info.audio.sample_rate, info.audio.channels) == expected.sound
        waveform = read_audio(path, 16_000, duration=info.duration)
        assert waveform.shape == (1, round(info.duration * 16_000))
        assert bool(waveform.any()) == (
            name not in {"made_silent_audio.mp4", "real_webm_vp9_alpha_200x200.webm"}
        )

    if name == "real_webm_vp8_vorbis_1s.webm":
        with pytest.raises(MediaError, match=r"vp8 video cannot be stored in \.mp4"):
            mux(path, sound, 16_000, out)
        out = tmp_path / "out.mkv"
    mux(path, sound, 16_000, out)
    joined = probe(out)
    assert joined.video == info.video
    assert joined.duration == pytest.approx(info.duration, abs=1e-3)
    stored_rate = joined.audio.sample_rate
    assert read_audio(out, stored_rate).shape[1] == pytest.approx(info.duration * stored_rate, abs=1)
