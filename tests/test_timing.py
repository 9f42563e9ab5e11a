"""Rounding of time, in one place."""

import pytest
import torch

from vab.timing import frame_times, num_frames, num_samples, num_steps, step_times, steps_begun


def test_counts():
    assert num_samples(1.5, 16_000) == 24_000
    assert num_samples(0.00001, 16_000) == 0
    assert [num_steps(length, 320) for length in (0, 1, 320, 321, 160_000)] == [0, 1, 1, 2, 500]
    assert [num_frames(seconds, 5) for seconds in (0.01, 0.3, 1.0, 10.09)] == [1, 2, 5, 50]


def test_a_step_that_begins_within_counts():
    assert [steps_begun(seconds, 50.0) for seconds in (0.02, 0.1, 0.13, 10.0)] == [1, 5, 7, 500]
    assert [steps_begun(seconds, 44_100 / 512) for seconds in (1.0, 10.0)] == [87, 862]


@pytest.mark.parametrize("times", [step_times, frame_times])
def test_times_are_centres(times):
    assert times(4, 2).tolist() == [0.25, 0.75, 1.25, 1.75]
    assert times(0, 2).shape == (0,)
    assert times(3, 86.1328125).dtype == torch.float32
    # The last step of an hour stands where it should, to the nearest float32.
    assert times(180_000, 50)[-1].item() == pytest.approx(3599.99, abs=2e-4)
