"""Variance-preserving diffusion: the noise schedule of training, and a second-order solver to sample by.

Ho et al. 2020 (DDPM) for the schedule, Lu et al. 2022 (DPM-Solver, DPM-Solver++) for the solver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from vab.config import check_ranges
from vab.shapes import Float, Tensor

NoiseOf = Callable[[Tensor, Float[Tensor, " B"]], Tensor]
"""Noisy latents [B, ...] and their training steps, with fractions, to the noise in them."""


@dataclass(frozen=True)
class NoiseSchedule:
    """How much noise each training step adds; square roots of beta are evenly spaced, as in latent diffusion."""

    num_train_steps: int = 1000
    beta_start: float = 0.0015
    beta_end: float = 0.0195

    def __post_init__(self) -> None:
        check_ranges(self, num_train_steps=(2, 10**5), beta_start=(1e-8, 0.999), beta_end=(1e-8, 0.999))

    @cached_property
    def alphas(self) -> Float[Tensor, " T"]:
        """What is left of the signal's amplitude after each step, sqrt(alpha_bar), float64."""
        betas = torch.linspace(
            self.beta_start**0.5, self.beta_end**0.5, self.num_train_steps, dtype=torch.float64
        ).square()
        return (1 - betas).cumprod(0).sqrt()

    @cached_property
    def ratios(self) -> Float[Tensor, " T"]:
        """Half the log of the ratio of signal to noise after each step, float64, falling."""
        return (self.alphas / (1 - self.alphas.square()).sqrt()).log()

    def levels(self, steps: Float[Tensor, " B"]) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Amplitudes of signal and noise after so many steps, fractions between two, float32."""
        ratios = self.ratios.to(steps.device)
        below = steps.long().clamp(0, self.num_train_steps - 2)
        ratio = torch.lerp(ratios[below], ratios[below + 1], steps.double() - below)
        return (2 * ratio).sigmoid().sqrt().float(), (-2 * ratio).sigmoid().sqrt().float()

    def add_noise(self, latents: Tensor, noise: Tensor, steps: Float[Tensor, " B"]) -> Tensor:
        """Latents [B, ...] as they are after so many steps (TiVA equation 5)."""
        alpha, sigma = (each.view(-1, *[1] * (latents.ndim - 1)) for each in self.levels(steps))
        return alpha.to(latents) * latents + sigma.to(latents) * noise


@torch.inference_mode()
def solve(
    predict_noise: NoiseOf, noise: Float[Tensor, "B ..."], schedule: NoiseSchedule, num_steps: int
) -> Float[Tensor, "B ..."]:
    """Noise to latents: DPM-Solver++(2M), second order after the first step, ``num_steps`` passes; deterministic.

    Steps are evenly spaced in the logarithm of the ratio of signal to noise, as its authors advise: evenly spaced in
    time, the last steps are so long that the order is lost. What is left at the end is the noise of the first training
    step, 4 % of a latent's amplitude. ``predict_noise`` is the model with its conditions and guidance bound in.
    """
    table = schedule.ratios
    ratios = torch.linspace(table[-1].item(), table[0].item(), num_steps + 1, dtype=torch.float64)
    times = _interpolated(ratios, table)
    alphas = (2 * ratios).sigmoid().sqrt()
    sigmas = (-2 * ratios).sigmoid().sqrt()
    growth = torch.expm1(ratios[:-1] - ratios[1:])
    x, before = noise.float(), None
    for index in range(num_steps):
        steps = torch.full((len(x),), times[index].item(), device=x.device)
        predicted = predict_noise(x, steps).float()
        clean = (x - sigmas[index].item() * predicted) / alphas[index].item()
        # The steps are equally long, so the middle of the next one lies half a step ahead.
        ahead = clean if before is None else clean + (clean - before) / 2
        x = (sigmas[index + 1] / sigmas[index]).item() * x - (
            alphas[index + 1] * growth[index]
        ).item() * ahead
        before = clean
    return x


def _interpolated(ratios: Float[Tensor, " n"], table: Float[Tensor, " T"]) -> Float[Tensor, " n"]:
    """Training steps, with fractions, at which a falling table has some values."""
    after = torch.searchsorted(-table, -ratios).clamp(1, len(table) - 1)
    return after - 1 + (table[after - 1] - ratios) / (table[after - 1] - table[after])
