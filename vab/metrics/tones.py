"""How well sound keeps a pitch: test tones, and what of them comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from vab.shapes import Float, Tensor

TOLERANCE_HZ = 6.0
"""Energy this near to a partial is in place."""
LOWEST_HZ = 80.0
"""Energy below is passed over: hum and offset are no part of a test tone."""
PEAK = 0.4
_WINDOW = 8192
_PARTIALS = (1, 2, 3)
_EDGE_SECONDS = 0.5
"""Left out at both ends, where a codec has seen half a tone only."""


@dataclass(frozen=True)
class Tone:
    """A steady tone of three partials of amplitudes 1, 1/2 and 1/3."""

    frequency: float
    """Of the fundamental, Hz."""
    waveform: Float[Tensor, "1 L"]


@dataclass(frozen=True)
class ToneScore:
    """What came back of one tone."""

    share: float
    """Of the energy above 80 Hz, the part within 6 Hz of a partial."""
    cents: float
    """Distance of the strongest line within a fifth of the fundamental to it."""


def steady_tones(
    number: int,
    sample_rate: int,
    *,
    seconds: float = 2.0,
    seed: int = 0,
    lowest: float = 200,
    highest: float = 2500,
) -> list[Tone]:
    """Tones of random pitch, uniform on a logarithmic scale; partials beyond 0.45 of the rate are left out."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    tones = []
    for place in torch.rand(number, generator=generator, dtype=torch.float64).tolist():
        frequency = math.exp(math.log(lowest) + place * math.log(highest / lowest))
        phase = 2 * torch.pi * frequency * times
        tones.append(Tone(frequency, _partials(phase, torch.tensor(frequency), sample_rate)))
    return tones


def glide(sample_rate: int) -> Float[Tensor, "1 L"]:
    """A tone of three partials that rises evenly over the three octaves from 300 Hz and comes back, in 4 s."""
    times = torch.arange(4 * sample_rate, dtype=torch.float64) / 4 / sample_rate
    frequency = 300 * 8 ** (1 - (2 * times - 1).abs())
    return _partials(2 * torch.pi * frequency.cumsum(0) / sample_rate, frequency, sample_rate)


def _partials(phase: Tensor, frequency: Tensor, sample_rate: int) -> Float[Tensor, "1 L"]:
    waves = [(n * phase).sin() / n * (n * frequency < 0.45 * sample_rate) for n in _PARTIALS]
    wave = torch.stack(waves).sum(dim=0)
    return (wave / wave.abs().max() * PEAK).float()[None]


def tone_score(tone: Tone, decoded: Float[Tensor, "1 L"], sample_rate: int) -> ToneScore:
    """Compare what came back with a tone that went in; half a second at both ends is left out.

    Raises:
        ValueError: shorter than 1.6 s at 16 kHz: too short for lines 2 Hz apart.
    """
    edge = round(_EDGE_SECONDS * sample_rate)
    inner = decoded[0, edge : tone.waveform.shape[1] - edge]
    if len(inner) < _WINDOW:
        raise ValueError(f"a tone of {len(inner)} samples inside its edges is shorter than {_WINDOW}")
    window = torch.hann_window(_WINDOW)
    spectrum = torch.stft(inner, _WINDOW, _WINDOW // 4, window=window, return_complex=True)
    power = spectrum.abs().square().mean(1)
    lines = torch.arange(len(power)) * sample_rate / _WINDOW
    is_near = torch.stack([(lines - n * tone.frequency).abs() < TOLERANCE_HZ for n in _PARTIALS]).any(dim=0)
    share = power[is_near].sum() / power[lines > LOWEST_HZ].sum().clamp_min(1e-20)
    is_candidate = (lines > tone.frequency / 1.5) & (lines < tone.frequency * 1.5)
    strongest = lines[is_candidate][power[is_candidate].argmax()].item()
    return ToneScore(share.item(), abs(1200 * math.log2(strongest / tone.frequency)))
