from fractions import Fraction

import pytest

from vab.features.grid import TimeGrid, as_fraction


@pytest.mark.parametrize(
    ("sample_rate", "hop", "fps", "period"),
    [
        (16_000, 320, 8.0, Fraction(1, 2)),
        (16_000, 320, 1.0, 1),
        (16_000, 320, 5.0, Fraction(1, 5)),
        (16_000, 320, 0.5, 2),
        (24_000, 320, 8.0, 1),
        (44_100, 512, 4.0, Fraction(1, 4)),  # 86.13 Hz meets nothing soon: one visual frame
    ],
)
def test_period(sample_rate: int, hop: int, fps: float, period: Fraction) -> None:
    assert TimeGrid.of({"codes": sample_rate / hop, "clip": fps}).period == period


def test_points_are_whole_steps_and_frames_at_the_same_time() -> None:
    grid = TimeGrid.of({"codes": 50.0, "clip": 8.0})
    assert [(grid.step("codes", k), grid.step("clip", k)) for k in range(4)] == [
        (0, 0),
        (25, 4),
        (50, 8),
        (75, 12),
    ]


def test_rounded_steps_stay_within_half_a_step_and_are_odd() -> None:
    grid = TimeGrid.of({"codes": 44_100 / 512, "clip": 8.0})
    for point in range(80):
        assert (
            abs(grid.step("codes", point) / float(grid.rates["codes"]) - grid.step("clip", point) / 8)
            <= 0.5 * 512 / 44_100
        )
        assert grid.step("codes", -point) == -grid.step("codes", point)


def test_num_within() -> None:
    grid = TimeGrid.of({"codes": 50.0, "clip": 8.0})
    assert grid.num_within({"codes": 500, "clip": 80}) == 20
    assert grid.num_within({"codes": 499, "clip": 80}) == 19
    assert grid.num_within({"codes": 500, "clip": 79}) == 19
    assert grid.num_within({"codes": 0, "clip": 9}) == 2
    assert grid.num_within({"codes": 60, "clip": 0}) == 2
    assert grid.num_within({"codes": 24, "clip": 0}) == 0
    assert TimeGrid.of({"codes": 44_100 / 512, "clip": 1.0}).num_within({"codes": 861, "clip": 10}) == 10


def test_lengths_off_the_grid_are_refused() -> None:
    grid = TimeGrid.of({"codes": 50.0, "clip": 8.0})
    assert grid.points_in(2.5) == 5
    for seconds in (0.3, 0.0, -1.0):
        with pytest.raises(ValueError, match=r"multiple of 0.5 s"):
            grid.points_in(seconds)


def test_rates_are_read_as_written() -> None:
    assert as_fraction(0.1) == Fraction(1, 10)
    assert as_fraction(29.97) == Fraction(2997, 100)
    assert as_fraction(16_000 / 300) == Fraction(160, 3)


def test_one_stream_alone_has_its_own_step() -> None:
    for rate in (50.0, 44_100 / 512):
        grid = TimeGrid.of({"codes": rate})
        assert [grid.step("codes", point) for point in (-2, 0, 1, 430)] == [-2, 0, 1, 430]
        assert grid.num_within({"codes": 37}) == 37
        assert grid.points_in(2.5) == -int(-2.5 * rate // 1), "nothing has to meet"


def test_three_streams_meet_where_all_of_them_do() -> None:
    assert TimeGrid.of({"codes": 50.0, "clip": 8.0, "clip25": 25.0}).period == 1
    grid = TimeGrid.of({"codes": 44_100 / 512, "clip": 5.0, "clip25": 25.0})
    assert grid.period == Fraction(1, 5), "the two slower ones, codes are rounded"
    assert (grid.step("clip25", 3), grid.step("codes", 3)) == (15, 52)
    assert grid.num_within({"codes": 86, "clip": 5, "clip25": 24}) == 4
