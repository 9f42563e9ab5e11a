"""The solver against the one case that has a closed form: data that are Gaussian."""

import pytest
import torch

from vab.decoding.diffusion import NoiseSchedule, solve
from vab.decoding.guidance import guide

MEAN, STD = 0.7, 0.3
SCHEDULE = NoiseSchedule()


def _predict_noise(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """The best prediction of the noise in Gaussian data."""
    alpha, sigma = (each.double().view(-1, 1) for each in SCHEDULE.levels(steps))
    return (sigma * (x.double() - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)).float()


def _exact(noise: torch.Tensor) -> torch.Tensor:
    """Where the probability flow takes the noise: it keeps how many deviations from the mean a value is."""
    first, last = (
        (alpha * MEAN, (alpha**2 * STD**2 + 1 - alpha**2).sqrt()) for alpha in SCHEDULE.alphas[[0, -1]]
    )
    return (first[0] + first[1] * (noise - last[0]) / last[1]).float()


def _error(num_steps: int) -> float:
    noise = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    return (solve(_predict_noise, noise, SCHEDULE, num_steps) - _exact(noise)).abs().max().item()


def test_the_solver_follows_the_flow_of_a_gaussian() -> None:
    assert _error(25) < 0.02


def test_the_error_falls_with_the_square_of_the_number_of_steps() -> None:
    assert _error(100) < _error(50) / 3.5 < _error(25) / 3.5**2


def test_one_step_and_a_dimension_that_is_not_two() -> None:
    noise = torch.randn(2, 3, 4, 5)
    made = solve(lambda x, steps: x, noise, SCHEDULE, 1)
    assert made.shape == noise.shape and made.isfinite().all()


def test_noise_is_added_as_much_as_the_schedule_says() -> None:
    latents, noise = torch.ones(2, 100), torch.randn(2, 100)
    noisy = SCHEDULE.add_noise(latents, noise, torch.tensor([0.0, 999.0]))
    torch.testing.assert_close(noisy[0], latents[0], atol=0.2, rtol=0)
    torch.testing.assert_close(noisy[1], noise[1], atol=0.05, rtol=0)
    assert (SCHEDULE.alphas.diff() < 0).all() and SCHEDULE.alphas[-1] < 0.02
    with pytest.raises(ValueError, match="beta_end"):
        NoiseSchedule(beta_end=2.0)


def test_guidance_takes_latents_of_any_shape() -> None:
    latents = torch.zeros(2, 5, 8, 4)
    shift = torch.tensor([3.0, 1.0]).repeat_interleave(2).view(4, 1, 1, 1)
    guided = guide(lambda x: x + shift, 5.0)(latents)
    assert (guided == 1.0 + 5.0 * 2.0).all()
