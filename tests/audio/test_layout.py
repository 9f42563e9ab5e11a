"""The audio layout: what it shows, and its files."""

import json
from pathlib import Path

import pytest
import torch

from vab.audio.layout import SAMPLE_RATE, Layout, LayoutResolution, layout_of, onset_curve_of, onsets_of
from vab.errors import ConfigError, VABError
from vab.features.audio_makers import AudioMaker
from vab.features.makers import AudioInput, StreamMaker, load_maker


def tone(hertz: float, start: float, stop: float, seconds: float = 4.0) -> torch.Tensor:
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (torch.sin(2 * torch.pi * hertz * time) * ((time >= start) & (time < stop)))[None]


def test_a_layout_shows_when_and_how_high() -> None:
    layout = layout_of(tone(200, 1.0, 2.0) + tone(6000, 3.0, 4.0), LayoutResolution())
    assert layout.shape == (40, 5)
    assert layout.min() >= 0 and layout.max() <= 1
    assert (layout[2:9] == 0).all() and (layout[22:29] == 0).all(), "silence is 0"
    assert layout[12:18].argmax(1).eq(0).all() and layout[32:38].argmax(1).eq(4).all()


def test_a_piece_of_a_sound_has_a_piece_of_its_layout() -> None:
    sound = torch.randn(1, 4 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) * 0.1
    for resolution in (LayoutResolution(), LayoutResolution(8.0, 16)):
        whole, half = (layout_of(each, resolution) for each in (sound, sound[:, : 2 * SAMPLE_RATE]))
        torch.testing.assert_close(half[:-1], whole[: len(half) - 1])
        assert half.shape == (2 * resolution.rate, resolution.num_bands)


def test_the_paper_s_size_and_a_single_sample() -> None:
    assert layout_of(torch.zeros(1, 1024 * 160), LayoutResolution()).shape == (103, 5)
    assert layout_of(torch.ones(1, 1), LayoutResolution()).shape == (1, 5)


def test_the_maker_is_found_by_name_and_takes_its_options() -> None:
    maker = load_maker("layout", "cpu", rate=20.0, num_bands=8)
    assert isinstance(maker, StreamMaker) and isinstance(maker, AudioMaker)
    stream = maker.describe("layout")
    assert (stream.rate, stream.shape, maker.reads) == (20.0, (8,), AudioInput(16_000))
    assert stream.fingerprint != load_maker("layout", "cpu").describe("layout").fingerprint
    layouts, lengths = maker.encode([tone(200, 0, 1, seconds=1.0), torch.zeros(1, 64_000)], 2.0)
    assert layouts.shape == stream.batch_shape(2, 40) and lengths.tolist() == [20, 40]
    assert (layouts[0, 21:] == 0).all()
    with pytest.raises(ConfigError, match="no option bands; known: rate, num_bands"):
        load_maker("layout", "cpu", bands=5)


def struck(hertz: float, start: float, seconds: float) -> torch.Tensor:
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE - start
    return tone(hertz, start, seconds, seconds) * torch.exp(-10 * time.clamp_min(0))


def test_onsets_stand_in_the_rows_in_which_sound_begins() -> None:
    sound = struck(500, 0.75, 2.0) + struck(3000, 1.53, 2.0)
    curve, onsets = onset_curve_of(sound, 10.0), onsets_of(sound, 10.0)
    assert curve.shape == onsets.shape == (20, 1)
    assert onsets[:, 0].nonzero()[:, 0].tolist() == [7, 15]
    assert curve.max() <= 1 and set(curve[:, 0].topk(2).indices.tolist()) == {7, 15}
    assert (curve[:7] == 0).all() and (onsets_of(torch.zeros(1, 8000), 10.0) == 0).all()
    assert onsets_of(sound, 4.0).shape == (8, 1) and onsets_of(sound[:, :1601], 10.0).shape == (2, 1)


@pytest.mark.parametrize("name", ["onset-curve", "onsets"])
def test_onsets_are_streams_at_the_rate_of_a_layout(name: str) -> None:
    maker = load_maker(name, "cpu")
    stream = maker.describe(name)
    assert isinstance(maker, StreamMaker) and maker.reads == AudioInput(16_000)
    assert (stream.rate, stream.shape) == (load_maker("layout", "cpu").describe("layout").rate, (1,))
    assert stream.fingerprint != load_maker("layout", "cpu", num_bands=1).describe("layout").fingerprint
    rows, lengths = maker.encode([struck(500, 0.75, 1.5), torch.zeros(1, 64_000)], 2.0)
    assert rows.shape == stream.batch_shape(2, 20) and lengths.tolist() == [15, 20]
    assert rows[0].argmax() == 7 and (rows[1] == 0).all()


def test_a_file_gives_back_what_was_written_and_can_be_edited(tmp_path: Path) -> None:
    path = tmp_path / "layout.json"
    layout = Layout(torch.rand(7, 5, generator=torch.Generator().manual_seed(0)), 10.0)
    layout.write(path)
    again = Layout.read(path)
    assert again.rate == 10.0
    torch.testing.assert_close(again.values, layout.values, atol=5.1e-4, rtol=0)
    assert len([line for line in path.read_text().splitlines() if line.strip().startswith("[")]) == 7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, "format"),
        ({"rate": 0}, "rate 0"),
        ({"layout": [[0.1], [0.2, 0.3]]}, "length"),
        ({"layout": []}, "rows of numbers"),
        ({"layout": [[1.5]]}, "in \\[0, 1\\]"),
        ({"layout": [[float("nan")]]}, "in \\[0, 1\\]"),
        ({"layout": "x"}, "not a layout"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "layout.json"
    path.write_text(json.dumps({"format": "vab-layout", "rate": 10, "layout": [[0.5]]} | change))
    with pytest.raises(VABError, match=reason) as found:
        Layout.read(path)
    assert "'vab layout' makes one" in str(found.value) and "\n" not in str(found.value)
    with pytest.raises(VABError, match="not a layout"):
        Layout.read(tmp_path / "nowhere.json")


def test_events_are_erased_moved_and_painted() -> None:
    values = torch.full((20, 2), 0.1)
    values[5:7] = 0.9
    layout = Layout(values, 10.0)
    assert layout.erased(0.5, 0.7).values.equal(torch.full((20, 2), 0.1))
    assert layout.erased(0.0, 2.0).values.equal(torch.zeros(20, 2))  # nothing around it
    moved = layout.moved(0.5, 0.7, 1.0).values
    assert moved[15:17].eq(0.9).all() and moved[5:7].eq(0.1).all()
    assert layout.moved(0.5, 0.7, 1.4).values[19].eq(0.9).all()  # what is moved past the end is cut
    assert layout.moved(0.5, 0.7, -9.0).values.equal(layout.erased(0.5, 0.7).values)
    painted = layout.painted(1.0, 1.2, range(1, 2), 2.0).values
    assert painted[10:12, 1].eq(1.0).all() and painted[:, 0].equal(values[:, 0])
    assert layout.values.equal(values)
    with pytest.raises(ValueError, match="holds no row"):
        layout.erased(3.0, 4.0)
