"""How to decode or to sample, as frozen records: carried by weights, overridden by the caller."""

from __future__ import annotations

from dataclasses import dataclass

from vab.config import check_ranges


@dataclass(frozen=True)
class DecodingOptions:
    """Settings of parallel iterative decoding (paper section 3.3)."""

    num_steps: int = 16
    """Model passes; each fixes the tokens it is surest of."""
    cfg_scale: float = 5.0
    """Classifier-free guidance, uncond + scale * (cond - uncond); 1 is none."""
    temperature: float = 25.5
    """Gumbel noise on the confidence at the first step, falling to none at the last (paper tables 16 to 18)."""

    def __post_init__(self) -> None:
        check_ranges(self, num_steps=(1, 10**5), cfg_scale=(0, 1e6), temperature=(0, 1e6))


@dataclass(frozen=True)
class DiffusionOptions:
    """Settings of sampling by diffusion (TiVA section 4.1.1)."""

    num_steps: int = 25
    """Model passes of the solver."""
    cfg_scale: float = 5.0
    """Classifier-free guidance, uncond + scale * (cond - uncond); 1 is none, 0 ignores the condition."""

    def __post_init__(self) -> None:
        check_ranges(self, num_steps=(1, 1000), cfg_scale=(0, 1e6))


@dataclass(frozen=True)
class AutoregressiveOptions:
    """Settings of sampling one column of codes after another (V-AURA, section III.C)."""

    cfg_scale: float = 6.0
    """Classifier-free guidance, uncond + scale * (cond - uncond); 1 is none."""
    temperature: float = 1.0
    """What log-probabilities are divided by; 0 takes the likeliest token."""
    top_k: int = 128
    """A token is drawn from so many of the likeliest; 0 = from all."""
    top_p: float = 1.0
    """And from the fewest that have this share of the probability; 1 = from all."""
    stride_seconds: float | None = None
    """Seconds by which the window of a longer video moves on; None = as the weights have it."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            cfg_scale=(0, 1e6),
            temperature=(0, 1e6),
            top_k=(0, 2**20),
            top_p=(1e-6, 1),
            stride_seconds=(0.01, 3600),
        )
