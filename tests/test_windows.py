"""Windows: over long clips, inside short ones, and the same numbers out of the bundled weights as ever."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import vab
from vab.features.grid import TimeGrid
from vab.windows import Windows

WINDOWS = Windows(4.0, 1, TimeGrid.of({"codes": 50.0, "clip": 5.0}))


def test_windows_cover_a_clip_and_keep_codes_and_frames_together() -> None:
    cut = Windows(2.0, 5, TimeGrid.of({"codes": 50.0, "clip": 5.0}))
    windows = cut.covering(round(5.5 * 50), round(5.5 * 5))
    assert [window.start for window in windows] == pytest.approx([0, 1, 2, 3, 3.4])
    assert all((w.steps.start, w.frames.start) == (w.start * 50, w.start * 5) for w in windows)
    assert windows[-1].frames.stop == 27 or windows[-1].frames.stop == 28
    [short] = cut.covering(30, 3)
    assert (short.steps, short.frames) == (slice(0, 30), slice(0, 3))
    [a_little_more] = cut.covering(105, 10)
    assert a_little_more.steps == slice(0, 105)
    [sound_only] = cut.covering(100, 0)
    assert (sound_only.seconds, sound_only.frames) == (2.0, slice(0, 0))


@pytest.mark.parametrize(
    ("seconds", "expected"), [(10.0, [0.0, 4.0, 6.0]), (8.0, [0.0, 4.0]), (2.5, [0.0]), (0.0, [0.0])]
)
def test_windows_side_by_side_cover_a_clip(seconds: float, expected: list[float]) -> None:
    assert WINDOWS.tiled(seconds) == pytest.approx(expected)


def test_windows_around_points_in_time_stay_inside() -> None:
    assert WINDOWS.centred(10.0, 2.0) == pytest.approx([0.0, 1.0, 3.0, 5.0, 6.0])
    assert WINDOWS.centred(3.0, 1.0) == pytest.approx([0.0, 0.0, 0.0])


def test_the_bundled_weights_embed_as_they_always_did() -> None:
    """The numbers that they gave when they were made."""
    pipeline = vab.load("demo-search", device="cpu")
    time = torch.arange(round(19.3 * pipeline.codec.sample_rate)) / pipeline.codec.sample_rate
    waveform = (0.3 * torch.sin(2 * torch.pi * (200 + 40 * time) * time))[None]
    pixels = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    visual = pipeline.encode_frames(pixels).repeat(31, 1)[: round(19.3 * 12.5)]
    audio = pipeline.audio_windows(waveform)[:, :3]
    recorded = [[0.0844, 0.0399, -0.0329], [0.0785, 0.0280, -0.0276], [-0.0274, 0.0133, -0.0040]]
    torch.testing.assert_close(audio, torch.tensor([*recorded, [0.0865, -0.0178, 0.0156]]), atol=2e-3, rtol=0)
    video = pipeline.video_windows(visual)[:, :3]
    recorded = [[0.0579, -0.0120, -0.0454], [0.0535, -0.0084, -0.0377], [0.0298, -0.0055, -0.0351]]
    torch.testing.assert_close(
        video, torch.tensor([*recorded, [0.0298, -0.0043, -0.0395]]), atol=2e-3, rtol=0
    )
    assert pipeline.agreement(waveform, visual) == pytest.approx(0.02921, abs=2e-3)
