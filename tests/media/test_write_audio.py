"""Sound alone, as WAV or FLAC."""

import pytest
import torch

from vab.errors import MediaError
from vab.media import probe, read_audio, write_audio


def noise(num_channels: int, length: int) -> torch.Tensor:
    return 0.2 * torch.randn(num_channels, length, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["sound.wav", "sound.flac", "sound.WAV"])
@pytest.mark.parametrize("sample_rate", [16_000, 24_000, 44_100])
def test_sixteen_bits_of_the_waveform_come_back(tmp_path, name, sample_rate):
    waveform = noise(1, sample_rate + 77)
    write_audio(tmp_path / name, waveform, sample_rate)
    back = read_audio(tmp_path / name, sample_rate)
    assert back.shape == waveform.shape
    assert (back - waveform.clamp(-1, 1)).abs().max() <= 2**-15
    assert probe(tmp_path / name).audio.sample_rate == sample_rate


@pytest.mark.parametrize("name", ["sound.wav", "sound.flac"])
def test_pieces_sound_as_the_whole_in_stereo(tmp_path, name):
    waveform = noise(2, 20_000)
    write_audio(tmp_path / name, waveform, 16_000)
    whole = (tmp_path / name).read_bytes()
    write_audio(tmp_path / name, (piece for piece in waveform.split(333, dim=1)), 16_000)
    assert (tmp_path / name).read_bytes() == whole
    assert probe(tmp_path / name).audio.channels == 2
    assert (read_audio(tmp_path / name, 16_000) - waveform.mean(0)).abs().max() <= 2**-14


@pytest.mark.parametrize("name", ["sound.mp3", "sound.m4a"])
@pytest.mark.parametrize("sample_rate", [16_000, 50_000])
def test_compressed_sound_is_as_long_and_alike(tmp_path, name, sample_rate):
    time = torch.arange(sample_rate) / sample_rate
    given = (0.4 * torch.sin(2 * torch.pi * 300 * time))[None]
    write_audio(tmp_path / name, given, sample_rate)
    back = read_audio(tmp_path / name, sample_rate)
    assert back.shape[1] == pytest.approx(sample_rate, abs=2)
    assert (back[:, 2000:14_000] - given[:, 2000:14_000]).abs().max() < 0.05


def test_values_out_of_range_are_cut(tmp_path):
    write_audio(tmp_path / "loud.wav", torch.tensor([[-3.0, 3.0] * 500]), 16_000)
    back = read_audio(tmp_path / "loud.wav", 16_000)
    assert back.max() == pytest.approx(1, abs=1e-4)
    assert back.min() == pytest.approx(-1, abs=1e-4)


def test_another_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(MediaError, match=r"sound\.ogg: sound alone is written as one of \.wav \.flac"):
        write_audio(tmp_path / "sound.ogg", noise(1, 100), 16_000)


def test_failure_leaves_nothing(tmp_path):
    def failing():
        yield noise(1, 16_000)
        raise RuntimeError("the model broke")

    with pytest.raises(RuntimeError, match="the model broke"):
        write_audio(tmp_path / "sound.wav", failing(), 16_000)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "sound.wav").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        write_audio(tmp_path / "sound.wav", noise(1, 100), 16_000)
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="folder cannot be made"):
        write_audio(tmp_path / "file" / "sound.wav", noise(1, 100), 16_000)
