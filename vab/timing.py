"""Seconds to samples, codec steps and visual frames: the one place where time is rounded."""

import math

import torch

from vab.shapes import Float, Int, Tensor


def num_samples(seconds: float, sample_rate: int) -> int:
    """Samples in ``seconds`` of sound, to the nearest one."""
    return round(seconds * sample_rate)


def num_steps(num_samples: int, hop_length: int) -> int:
    """Codec steps that cover ``num_samples``: a last, partly filled hop counts as a step."""
    return -(-num_samples // hop_length)


def steps_begun(seconds: float, frame_rate: float) -> int:
    """Codec steps that begin within ``seconds``; where the product misses a whole number by rounding, that number."""
    return math.ceil(seconds * frame_rate - 1e-6)


def num_frames(seconds: float, visual_fps: float) -> int:
    """Visual frames in ``seconds`` of video, to the nearest one and at least one."""
    return max(1, round(seconds * visual_fps))


def step_times(num_steps: int, frame_rate: float) -> Float[Tensor, " S"]:
    """Centre of each codec step in seconds, ``(s + 0.5) / frame_rate``: float32 [S]."""
    # Computed in float64: in float32 the index of a step late in a long file would already be rounded.
    return ((torch.arange(num_steps, dtype=torch.float64) + 0.5) / frame_rate).float()


def frame_times(num_frames: int, visual_fps: float) -> Float[Tensor, " F"]:
    """Centre of each visual frame's share of time in seconds, ``(f + 0.5) / visual_fps``: float32 [F]."""
    return step_times(num_frames, visual_fps)


def nearest_steps(num_steps: int, frame_rate: float, count: int, rate: float) -> Int[Tensor, " S"]:
    """For each of S steps the step of another stream in whose time its centre lies: nearest-neighbour resampling.

    Args:
        num_steps: S.
        frame_rate: of these steps, a second.
        count: steps of the other stream; past its end its last one stands.
        rate: of the other stream, steps a second.
    """
    centres = (torch.arange(num_steps, dtype=torch.float64) + 0.5) / frame_rate
    return (centres * rate + 1e-6).long().clamp(max=count - 1)
