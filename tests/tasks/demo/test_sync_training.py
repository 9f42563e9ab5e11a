"""A small S3D learns how far sound and frames are apart, where a flash and a click belong together."""

import numpy as np
import torch

from tasks.demo.training.sync import OffsetObjective, SyncClips
from vab.visual.s3d import S3D, S3DConfig

FPS, RATE = 25, 4000
HOP = RATE // FPS


def _clips(number: int) -> SyncClips:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 40, (number, 60, 8, 8, 3)).astype(np.uint8)
    sound = generator.integers(-200, 200, (number, 60 * HOP)).astype(np.int16)
    for clip in range(number):
        for event in generator.integers(0, 59, 4):
            frames[clip, event] += 200
            sound[clip, event * HOP : (event + 1) * HOP] += generator.integers(-9000, 9000, HOP).astype(
                np.int16
            )
    return SyncClips(frames, sound, HOP, num_frames=30, max_offset=4)


def _objective() -> OffsetObjective:
    torch.manual_seed(0)
    return OffsetObjective(S3D(S3DConfig((4, 8), 8, float(FPS), 10, 8, 8)), RATE)


def test_pieces_are_out_of_step_by_what_they_say() -> None:
    clips = _clips(2)
    batch = clips.__getitems__([(0, 1), (0, 1), (1, 2)])
    assert batch.frames.shape == (3, 30, 3, 8, 8) and batch.waveform.shape == (3, 38 * HOP)
    assert torch.equal(batch.frames[0], batch.frames[1])
    for row, index in enumerate((0, 0, 1)):
        place = int(batch.place[row])
        is_lit = batch.frames[row, :, 0, 0, 0] > 100
        loud = batch.waveform[row].unflatten(0, (38, HOP)).abs().amax(1) > 0.1
        assert torch.equal(loud[place : place + 30], is_lit), index
    assert _objective().scores(batch.frames.float() / 255, batch.waveform).shape == (3, 9)


def test_it_learns_to_tell_the_offset() -> None:
    clips, objective = _clips(32), _objective()
    optimizer = torch.optim.AdamW(objective.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        batch = clips.__getitems__([(index % 32, 100 * step + index) for index in range(16)])
        loss = objective(batch, generator=generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    objective.eval()
    other = clips.__getitems__([(index, 10**6 + index) for index in range(32)])
    scalars = objective.evaluate(other, generator=generator)
    assert scalars["accuracy_within_2"] >= scalars["accuracy"] > 0.6  # one in nine by chance
