"""Sequences of one rate at the moments of another."""

import torch

from vab.nn.interpolation import sample_at
from vab.timing import step_times


def test_a_line_stays_a_line_and_ends_are_constant() -> None:
    values = step_times(10, 5.0)[None, :, None]
    times = step_times(100, 50.0)
    found = sample_at(values, 5.0, times)[0, :, 0]
    inside = (times >= 0.1) & (times <= 1.9)
    torch.testing.assert_close(found[inside], times[inside])
    assert (found[times < 0.1] == 0.1).all() and torch.allclose(found[times > 1.9], torch.tensor(1.9))


def test_at_its_own_moments_nothing_changes() -> None:
    values = torch.randn(2, 7, 3, 4)
    torch.testing.assert_close(sample_at(values, 8.0, step_times(7, 8.0)), values)
