"""Sounds whose every event is known."""

import torch


def strikes(times, *, seconds=4.0, sample_rate=16_000, gain=0.5):
    """A damped 900 Hz tone at each time: [1, L]."""
    clock = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    sound = torch.zeros_like(clock)
    for time in times:
        age = (clock - time).clamp_min(0)
        sound += (clock >= time) * gain * torch.sin(2 * torch.pi * 900 * age) * torch.exp(-age / 0.08)
    return sound[None].float()
