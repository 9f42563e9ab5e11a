"""SCAV: distances between sequences, and that it learns which audio goes with which frames."""

import pytest
import torch
import torch.nn.functional as F
from tiny_maskvat import tiny_scav_config

from vab.features.batch import FeatureBatch
from vab.features.info import StreamSize
from vab.models.scav.config import SCAVConfig
from vab.models.scav.model import SCAV
from vab.objectives.sequences import SequentialContrast, SequentialContrastOptions, sequence_distances


def test_distances_are_those_of_an_explicit_loop_over_real_steps() -> None:
    torch.manual_seed(0)
    visual, audio = (F.normalize(torch.randn(number, 5, 4), dim=2) for number in (3, 2))
    is_seen, is_heard = torch.ones(3, 5, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)
    is_seen[1, 3:] = is_heard[0, 2:] = False
    is_seen[2] = False
    found = sequence_distances(visual, audio, is_seen, is_heard)
    for v in range(2):
        for a in range(2):
            real = is_seen[v] & is_heard[a]
            expected = (visual[v] - audio[a]).square().sum(1)[real].mean()
            torch.testing.assert_close(found[v, a], expected)
    assert (found[2] == 4).all()


def _batch(size: int, seed: int) -> FeatureBatch:
    """Clips whose frames and audio show the same events, at two rates."""
    generator = torch.Generator().manual_seed(seed)
    events = (torch.rand(size, 8, generator=generator) < 0.4).float()
    streams = {
        "clip": events.repeat_interleave(2, 1)[..., None] * torch.ones(6),
        "beats": events[..., None] * torch.tensor([1.0, -1.0, 2.0]),
    }
    is_valid = {name: torch.ones(stream.shape[:2], dtype=torch.bool) for name, stream in streams.items()}
    return FeatureBatch(streams, is_valid, tuple(map(str, range(size))), ((),) * size)


def test_it_learns_which_audio_goes_with_which_frames() -> None:
    torch.manual_seed(0)
    config = SCAVConfig(
        {"clip": StreamSize(6, 8.0)}, {"beats": StreamSize(3, 4.0)}, num_layers=1, width=16, num_heads=4, embed_dim=8
    )  # fmt: skip
    objective = SequentialContrast(SCAV(config), SequentialContrastOptions())
    optimizer = torch.optim.AdamW(objective.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)
    before = objective.evaluate(_batch(16, 999), generator=generator)
    for step in range(60):
        loss = objective(_batch(16, step), generator=generator)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = objective.evaluate(_batch(16, 999), generator=generator)
    assert after["loss"] < before["loss"]
    assert after["recall_1/visual_to_audio"] > 0.7


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = SCAV(tiny_scav_config()).eval()
    frames = torch.randn(1, 5, model.visual_size.width)
    is_valid = torch.arange(5)[None] < 3
    first = model.embed_visual(frames, is_valid)
    torch.testing.assert_close(first.norm(dim=2), torch.ones(1, 5))
    changed = frames.clone()
    changed[:, 3:] += 1
    torch.testing.assert_close(model.embed_visual(changed, is_valid)[:, :3], first[:, :3])
    assert model.embed_audio(torch.randn(1, 7, model.audio_size.width), 5).shape == (1, 5, 8)


@pytest.mark.parametrize("streams", [({}, {}), ({"a": StreamSize(1, 1.0)}, {"a": StreamSize(1, 1.0)})])
def test_streams_are_one_each(streams: tuple[dict[str, StreamSize], dict[str, StreamSize]]) -> None:
    with pytest.raises(ValueError, match="one stream each"):
        SCAVConfig(*streams)
