"""Small files that announce rates, lengths, gaps or sizes which nothing stores: refused in one line, at once."""

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_clips import clicks, steady

from vab.errors import MediaError
from vab.media import audio, iter_audio, iter_frames, probe, read_audio


def refused(path, message, *reads):
    """Each of ``reads`` raises one line that names the file."""
    for read in reads:
        with pytest.raises(MediaError, match=message) as caught:
            read()
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def write_wav(path: Path, rate: int, num_samples: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * num_samples))
    return path


def write_with_gap(path: Path, gap: float) -> Path:
    """Two seconds of sound in Matroska, the second one ``gap`` seconds late."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for begin in (0, 16_000 + round(16_000 * gap)):
            frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), 99, np.int16), "s16", "mono")
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), begin
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rate", [1, 999, 768_001])
def test_a_rate_that_is_none_of_sound(tmp_path, rate):
    path = write_wav(tmp_path / "odd.wav", rate, 36_000)
    refused(path, "samples a second", lambda: read_audio(path, 48_000), lambda: iter_audio(path, 48_000))


@pytest.mark.parametrize("rate", [1_000, 768_000])
def test_the_outermost_rates_are_read(tmp_path, rate):
    path = write_wav(tmp_path / "odd.wav", rate, rate)
    assert read_audio(path, 16_000).shape == (1, 16_000)


def test_a_length_that_the_bytes_cannot_hold(tmp_path):
    path = write_wav(tmp_path / "hours.wav", 1, 36_000)
    refused(path, r"36,000 s, which its 72,044 bytes", lambda: probe(path))


def test_a_gap_of_days(tmp_path):
    path = write_with_gap(tmp_path / "gap.mkv", 1e6)
    refused(path, r"1,00\d,\d{3} s, which", lambda: probe(path), lambda: read_audio(path, 16_000))


def test_gaps_are_silence_up_to_a_limit(tmp_path, monkeypatch):
    path = write_with_gap(tmp_path / "gap.mkv", 3)
    assert read_audio(path, 16_000).shape == (1, 5 * 16_000)
    monkeypatch.setattr(audio, "MAX_SILENCE_SECONDS", 2)
    refused(path, "gaps of 3 s", lambda: read_audio(path, 16_000))
    # What is asked for ends before the gap does.
    assert read_audio(path, 16_000, duration=1).shape == (1, 16_000)


def test_an_mp4_whose_pictures_stand_for_days(make_clip):
    path = make_clip("long.mp4", steady(10))
    content = bytearray(path.read_bytes())
    at = content.index(b"stts")
    # Ticks of the first run of pictures, in a clock of 12,800 ticks a second.
    content[at + 16 : at + 20] = struct.pack(">I", 200_000_000)
    path.write_bytes(content)
    refused(path, "which its .* bytes cannot hold", lambda: probe(path), lambda: list(iter_frames(path, 8)))


def test_a_picture_larger_than_any_screen(tmp_path):
    path = tmp_path / "large.gif"
    screen = struct.pack("<HHBBB", 16_000, 16_000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"
    path.write_bytes(b"GIF89a" + screen + picture)
    refused(path, "can be decoded", lambda: probe(path), lambda: list(iter_frames(path, 8)))


def test_sound_that_a_file_delays_or_cuts_is_still_read(make_clip):
    sound = clicks([0.1], 0.5, 48_000)
    path = make_clip("late.mkv", steady(10), sound=sound, audio_start=2.0, audio_codec="pcm_s16le")
    assert read_audio(path, 48_000).shape[1] == pytest.approx(2.5 * 48_000, abs=100)
