"""Two sounds as one: the video's own audio under the new one, lowered where that sounds."""

from __future__ import annotations

import torch.nn.functional as F

from vab.metrics.loudness import SILENCE_DB
from vab.shapes import Float, Tensor

_HOP_SECONDS = 0.01
_BELOW_LOUDEST_DB = 30.0
"""A sound is heard where it is no further below its loudest 10 ms."""
_HOLD_SECONDS = 0.2
"""How long before and after a sound the other is low in full."""
_FADE_SECONDS = 0.2
"""How long the other takes to fall and to rise."""


def duck(
    own: Float[Tensor, "1 L"], new: Float[Tensor, "1 L"], sample_rate: int, *, depth: float
) -> Float[Tensor, "1 L"]:
    """A sound lowered by ``depth`` dB wherever the new one is heard, and as it is elsewhere.

    The whole of both is known, so the fall is over before the new sound begins.
    """
    hop = max(1, round(_HOP_SECONDS * sample_rate))
    if new.shape[1] < hop:
        return own
    level = F.avg_pool1d(new.float().square()[None], hop, ceil_mode=True)[0, 0].clamp_min(1e-12).log10() * 10
    is_heard = (level > level.max() - _BELOW_LOUDEST_DB) & (level > SILENCE_DB)
    hold = round((_HOLD_SECONDS + _FADE_SECONDS / 2) / _HOP_SECONDS)
    fade = round(_FADE_SECONDS / _HOP_SECONDS)
    held = F.max_pool1d(is_heard.float()[None, None], 2 * hold + 1, stride=1, padding=hold)
    share = F.avg_pool1d(F.pad(held, (fade // 2, fade // 2), mode="replicate"), fade // 2 * 2 + 1, stride=1)
    at_samples = F.interpolate(share, size=own.shape[1], mode="linear", align_corners=True)[0]
    return own * 10 ** (-depth * at_samples / 20)
