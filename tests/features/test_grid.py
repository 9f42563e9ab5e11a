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
    assert TimeGrid.of(sample_rate, hop, fps).period == period


def test_points_are_whole_steps_and_frames_at_the_same_time() -> None:
    grid = TimeGrid.of(16_000, 320, 8.0)
    assert [(grid.step(k), grid.frame(k)) for k in range(4)] == [(0, 0), (25, 4), (50, 8), (75, 12)]


def test_rounded_steps_stay_within_half_a_step_and_are_odd() -> None:
    grid = TimeGrid.of(44_100, 512, 8.0)
    for point in range(80):
        assert abs(grid.step(point) / float(grid.frame_rate) - grid.frame(point) / 8) <= 0.5 * 512 / 44_100
        assert grid.step(-point) == -grid.step(point)


def test_num_within() -> None:
    grid = TimeGrid.of(16_000, 320, 8.0)
    assert grid.num_within(500, 80) == 20
    assert grid.num_within(499, 80) == 19
    assert grid.num_within(500, 79) == 19
    assert grid.num_within(None, 9) == 2
    assert grid.num_within(60, None) == 2
    assert grid.num_within(24, None) == 0
    assert TimeGrid.of(44_100, 512, 1.0).num_within(861, 10) == 10


def test_lengths_off_the_grid_are_refused() -> None:
    grid = TimeGrid.of(16_000, 320, 8.0)
    assert grid.points_in(2.5) == 5
    for seconds in (0.3, 0.0, -1.0):
        with pytest.raises(ValueError, match=r"multiple of 0.5 s"):
            grid.points_in(seconds)


def test_rates_are_read_as_written() -> None:
    assert as_fraction(0.1) == Fraction(1, 10)
    assert as_fraction(29.97) == Fraction(2997, 100)
