"""Mono sound at a rate: aligned with time zero, of exact length, whatever is stored."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from made_clips import click_times, clicks, steady

from vab.errors import MediaError
from vab.media import iter_audio, read_audio

TWO_MILLISECONDS = 0.002


def write_frames(
    path: Path, frames: list[tuple[int, np.ndarray]], codec: str, rate: int, layout="mono", options=None
):
    """Write sound frame by frame, each (first sample's number, samples in the codec's own format)."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, layout=layout, options=options)
        for number, samples in frames:
            frame = av.AudioFrame.from_ndarray(samples, format=stream.format.name, layout=layout)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def tone(seconds: float, rate: int, hertz: float = 440.0, num_channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[None].astype(np.float32), num_channels, axis=0)


def sweep(seconds: float, rate: int) -> np.ndarray:
    """A rising tone: unlike noise, lossy decoders give it back the same from wherever they start."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (200 * time + 100 * time**2)))[None].astype(np.float32)


def picture_start(path: Path) -> float:
    """Time of the first picture after the container's own start."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).time - container.start_time / av.time_base


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("clip.mp4", {}),
        ("clip.mov", {"sample_rate": 44_100}),
        ("clip.mkv", {}),
        ("clip.ts", {}),
        ("clip.mkv", {"audio_codec": "flac"}),
        ("clip.mkv", {"audio_codec": "libopus"}),
        ("clip.webm", {"audio_codec": "libopus", "video_codec": "libvpx", "video_options": {}}),
    ],
)
@pytest.mark.parametrize("audio_start", [0.0, 0.25])
def test_sound_keeps_its_place_beside_the_pictures(make_clip, name, settings, audio_start, sample_rate):
    rate = settings.get("sample_rate", 48_000)
    sound = clicks([0.2, 0.9], 1.5, rate)
    path = make_clip(name, steady(50), sound=sound, audio_start=audio_start, **settings)
    waveform = read_audio(path, sample_rate)
    assert waveform.dtype == torch.float32
    # Where the container keeps the encoder's priming, time zero lies that much before the first picture.
    first_picture = picture_start(path)
    expected = [first_picture + 0.2 + audio_start, first_picture + 0.9 + audio_start]
    assert click_times(waveform.numpy(), sample_rate) == pytest.approx(expected, abs=TWO_MILLISECONDS)


def test_time_zero_is_that_of_the_earlier_stream(make_clip):
    sound = clicks([0.2], 1.5, 48_000)
    path = make_clip("clip.mkv", steady(50, begin=0.5), sound=sound, audio_start=0.3, audio_codec="flac")
    assert click_times(read_audio(path, 16_000).numpy(), 16_000) == pytest.approx([0.2], abs=TWO_MILLISECONDS)


@pytest.mark.parametrize(
    ("stored_rate", "sample_rate"), [(44_100, 16_000), (16_000, 44_100), (48_000, 24_000)]
)
def test_length_is_exact(make_clip, stored_rate, sample_rate):
    path = make_clip("sound.mp4", None, sound=tone(1.2345, stored_rate), sample_rate=stored_rate)
    assert abs(read_audio(path, sample_rate).shape[1] - 1.2345 * sample_rate) <= sample_rate / 1000
    for start, duration in [(0, 0.5), (0, 1), (0.7, 3.3333), (0.1234, 0.00001), (9, 0.25)]:
        waveform = read_audio(path, sample_rate, start=start, duration=duration)
        assert waveform.shape == (1, round(duration * sample_rate))
    assert not read_audio(path, sample_rate, start=9, duration=0.25).any()
    assert read_audio(path, sample_rate, start=9).shape == (1, 0)


@pytest.mark.parametrize(
    ("name", "codec", "stored_rate", "sample_rate"),
    [
        ("sound.mp4", "aac", 44_100, 16_000),
        ("sound.mp3", "mp3", 44_100, 24_000),
        ("sound.flac", "flac", 48_000, 44_100),
        ("sound.wav", "pcm_s16le", 22_050, 16_000),
        ("sound.ts", "mp2", 48_000, 16_000),
    ],
)
def test_a_piece_is_that_piece_of_the_whole(make_clip, name, codec, stored_rate, sample_rate):
    sound = sweep(8, stored_rate)
    path = make_clip(name, None, sound=sound, sample_rate=stored_rate, audio_codec=codec)
    whole = read_audio(path, sample_rate, duration=7.5)
    for start in (0.05, 1.0, 3.7, 6.5):
        piece = read_audio(path, sample_rate, start=start, duration=0.9)
        first = round(start * sample_rate)
        assert torch.allclose(piece, whole[:, first : first + piece.shape[1]], atol=2e-4)


@pytest.mark.parametrize(("name", "codec"), [("sound.mkv", "aac"), ("sound.webm", "libopus")])
def test_a_piece_stands_within_a_tick_of_a_coarse_clock(make_clip, name, codec):
    path = make_clip(name, None, sound=clicks([3.2, 6.6], 8, 48_000), audio_codec=codec)
    piece = read_audio(path, 16_000, start=3, duration=4)
    assert click_times(piece.numpy(), 16_000) == pytest.approx([0.2, 3.6], abs=TWO_MILLISECONDS)


def test_chunks_join_to_the_whole(make_clip):
    path = make_clip("sound.mp4", None, sound=tone(2.5, 44_100), sample_rate=44_100)
    chunks = list(iter_audio(path, 16_000, chunk_seconds=0.3, duration=3.1))
    assert {chunk.shape[1] for chunk in chunks[:-1]} == {4800}
    assert torch.equal(torch.cat(chunks, dim=1), read_audio(path, 16_000, duration=3.1))


def test_the_signal_is_the_signal(make_clip):
    path = make_clip("sound.wav", None, sound=tone(2, 44_100), sample_rate=44_100, audio_codec="pcm_f32le")
    expected = torch.from_numpy(tone(2, 16_000))
    assert torch.allclose(read_audio(path, 16_000)[:, 400:-400], expected[:, 400:-400], atol=1e-3)


@pytest.mark.parametrize(
    ("codec", "dtype", "scale", "offset"),
    [
        ("pcm_u8", "u1", 127, 128),
        ("pcm_s16le", "i2", 2**15, 0),
        ("pcm_s32le", "i4", 2**31, 0),
        ("pcm_f32le", "f4", 1, 0),
        ("pcm_f64le", "f8", 1, 0),
    ],
)
def test_every_sample_format_has_the_same_scale(tmp_path, codec, dtype, scale, offset):
    wave = tone(0.5, 16_000, num_channels=2)
    packed = (wave * np.array([[1.0], [0.5]])).T.reshape(1, -1) * scale + offset
    path = write_frames(tmp_path / "sound.wav", [(0, packed.astype(dtype))], codec, 16_000, "stereo")
    assert torch.allclose(read_audio(path, 16_000), torch.from_numpy(0.75 * wave[:1]), atol=0.02)


@pytest.mark.parametrize(
    ("layout", "shares"),
    [
        ("stereo", [1, 1]),
        ("5.1", [1, 1, 2**0.5, 0, 0.5**0.5, 0.5**0.5]),
        ("7.1", [1, 1, 2**0.5, 0, *[0.5**0.5] * 4]),
        ("quad", [1, 1, 0.5**0.5, 0.5**0.5]),
    ],
)
def test_channels_fold_down_by_their_place(tmp_path, layout, shares):
    for channel, share in enumerate(shares):
        samples = np.zeros((8000, len(shares)), np.float32)
        samples[:, channel] = 0.5
        path = write_frames(
            tmp_path / "sound.wav", [(0, samples.reshape(1, -1))], "pcm_f32le", 16_000, layout
        )
        assert read_audio(path, 16_000)[0, 4000] == pytest.approx(0.5 * share / sum(shares), abs=1e-4)


def test_more_than_eight_channels_are_no_danger(tmp_path):
    """PyAV's own conversion reads past the end of such frames; it crashes, or not, by luck."""
    packed = np.repeat(tone(0.5, 48_000), 16, axis=0).T.reshape(1, -1) * 2**15
    path = tmp_path / "sound.mka"
    options = {"mapping_family": "255"}
    write_frames(path, [(0, packed.astype("i2"))], "libopus", 48_000, "hexadecagonal", options)
    with av.open(str(path)) as container:
        assert next(container.decode(audio=0)).format.is_planar
    for _ in range(20):
        assert read_audio(path, 16_000)[:, 1000:7000].abs().max() == pytest.approx(0.5, abs=0.05)


def test_a_lone_effects_channel_is_heard(tmp_path):
    path = write_frames(
        tmp_path / "sound.wav", [(0, tone(0.5, 16_000))], "pcm_f32le", 16_000, "1 channels (LFE)"
    )
    assert read_audio(path, 16_000).abs().max() > 0.4


def test_gaps_in_time_are_silence(tmp_path):
    blocks = [tone(0.1, 16_000)[:, :1024]] * 3
    path = write_frames(
        tmp_path / "sound.mkv", list(zip([0, 1024, 16_000], blocks, strict=True)), "pcm_f32le", 16_000
    )
    waveform = read_audio(path, 16_000)
    assert waveform.shape[1] == pytest.approx(17_024, abs=16)
    assert waveform[:, :2048].abs().max() > 0.4
    assert not waveform[:, 2100:15_900].any()
    assert waveform[:, 16_000:].abs().max() > 0.4


def test_overlaps_in_time_are_dropped(tmp_path):
    blocks = [tone(0.2, 16_000)[:, :3200]] * 2
    path = write_frames(tmp_path / "sound.mkv", [(0, blocks[0]), (1600, blocks[1])], "pcm_f32le", 16_000)
    assert read_audio(path, 16_000).shape[1] == pytest.approx(4800, abs=16)


def test_values_that_are_not_finite_become_silence(tmp_path, caplog):
    samples = tone(0.5, 16_000)
    samples[0, 1000:1010] = np.nan
    samples[0, 2000] = np.inf
    path = write_frames(tmp_path / "not_finite.wav", [(0, samples)], "pcm_f32le", 16_000)
    with caplog.at_level(logging.WARNING):
        waveform = read_audio(path, 16_000)
    assert torch.isfinite(waveform).all()
    assert waveform[:, 4000:].abs().max() > 0.4
    assert "not finite" in caplog.text


def test_values_stay_in_range(tmp_path):
    path = write_frames(tmp_path / "loud.wav", [(0, 8 * tone(0.5, 16_000))], "pcm_f32le", 16_000)
    assert read_audio(path, 16_000).abs().max() == 1


def test_damage_in_the_middle_is_skipped_with_a_warning(make_clip, caplog):
    sound = tone(4, 48_000)
    path = make_clip("damaged_sound.mp4", None, sound=sound)
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + 20_000
    content[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        waveform = read_audio(path, 16_000)
    assert waveform.shape[1] == pytest.approx(64_000, abs=16)
    assert waveform[:, -8000:-1000].abs().max() > 0.4
    assert "damaged" in caplog.text


def test_a_change_of_rate_on_the_way_keeps_the_speed(make_clip, tmp_path, caplog):
    first = make_clip("first.aac", None, sound=tone(1, 48_000), sample_rate=48_000)
    second = make_clip("second.aac", None, sound=tone(1, 24_000), sample_rate=24_000)
    joined = tmp_path / "joined.aac"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with caplog.at_level(logging.WARNING):
        waveform = read_audio(joined, 16_000)
    spectrum = torch.fft.rfft(waveform[0, -8000:-800]).abs()
    # Raw AAC gets its times wrong after the change, so pieces are missing; the pitch must not double.
    assert int(spectrum.argmax()) * 16_000 / 7200 == pytest.approx(440, rel=0.1)
    assert "changes from 48000 to 24000" in caplog.text


def test_no_audio_is_an_error(make_clip):
    path = make_clip("silent.mp4", steady(5))
    with pytest.raises(MediaError, match=r"silent\.mp4: has no audio stream"):
        read_audio(path, 16_000)


@pytest.mark.parametrize("wrong", [{"sample_rate": 0}, {"start": -1.0}, {"duration": -1.0}])
def test_wrong_arguments_are_named(make_clip, wrong):
    path = make_clip("sound.wav", None, sound=tone(0.1, 48_000), audio_codec="pcm_s16le")
    with pytest.raises(ValueError, match="must be positive"):
        read_audio(path, **{"sample_rate": 16_000, **wrong})
