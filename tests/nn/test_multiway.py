"""Experts of two modalities in one sequence."""

import pytest
import torch

from vab.nn.multiway import ModalityExperts


@pytest.mark.parametrize("num_visual", [0, 3, 8])
def test_each_part_goes_through_its_own_network(num_visual: int) -> None:
    torch.manual_seed(0)
    experts = ModalityExperts(16, 2)
    x = torch.randn(2, 8, 16)
    visual, audio = experts.visual(x), experts.audio(x)
    mixed = experts(x, num_visual)
    torch.testing.assert_close(mixed[:, :num_visual], visual[:, :num_visual])
    torch.testing.assert_close(mixed[:, num_visual:], audio[:, num_visual:])


def test_no_weights_are_copied_for_each_clip() -> None:
    experts = ModalityExperts(16, 2).requires_grad_(False)
    with torch.profiler.profile(acc_events=True) as profile:
        experts(torch.randn(2, 8, 16), 3)
    operations = {event.key for event in profile.key_averages()}
    assert "aten::addmm" in operations
    assert "aten::bmm" not in operations, "a product a clip, each with the weights copied"
