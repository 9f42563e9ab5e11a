"""Mask ratios, drawing and schedule, each against its definition."""

import math

import pytest
import torch

from vab.decoding.masks import (
    draw_cosine_mask,
    draw_mask,
    mask_out,
    masking_schedule,
    num_masked_after,
)
from vab.objectives.masked_prediction import sample_ratio
from vab.objectives.options import MaskRatio


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_ratio_follows_the_truncated_gaussian() -> None:
    ratio = sample_ratio(20_000, MaskRatio(), generator=_seeded())
    assert ratio.min() >= 0.5
    assert ratio.max() <= 1.0
    grid = torch.linspace(0.5, 1.0, 2001)
    density = torch.exp(-0.5 * ((grid - 0.55) / 0.25) ** 2)
    expected = (grid * density).sum() / density.sum()
    assert ratio.mean().item() == pytest.approx(expected.item(), abs=5e-3)


@pytest.mark.parametrize("change", [{"mean": 0.75}, {"std": 0.1}, {"minimum": 0.1}, {"maximum": 0.8}])
def test_every_setting_of_the_ratio_changes_it(change: dict[str, float]) -> None:
    plain = sample_ratio(64, MaskRatio(), generator=_seeded())
    changed = sample_ratio(64, MaskRatio(**change), generator=_seeded())
    assert not torch.equal(plain, changed)


def test_an_impossible_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match="minimum"):
        MaskRatio(minimum=0.9, maximum=0.5)
    with pytest.raises(ValueError, match="std"):
        MaskRatio(std=0.0)


def test_mask_has_the_exact_count_and_is_uniform_over_codebooks() -> None:
    ratio = torch.tensor([0.0, 0.5, 0.77, 1.0])
    is_masked = draw_mask(ratio, 4, 500, generator=_seeded())
    assert is_masked.flatten(1).sum(1).tolist() == [1, 1000, 1540, 2000]
    many = draw_mask(torch.full((200,), 0.5), 4, 10, generator=_seeded())
    share = many.float().mean(dim=0)
    assert (share - 0.5).abs().max() < 0.15


def test_mask_depends_on_its_seed_alone() -> None:
    ratio = torch.full((3,), 0.6)
    first = draw_mask(ratio, 2, 50, generator=_seeded(1))
    assert torch.equal(first, draw_mask(ratio, 2, 50, generator=_seeded(1)))
    assert not torch.equal(first, draw_mask(ratio, 2, 50, generator=_seeded(2)))


def test_mask_out_puts_the_mask_token_where_masked_and_nowhere_else() -> None:
    codes = torch.randint(0, 8, (2, 3, 10))
    is_masked = draw_mask(torch.full((2,), 0.4), 3, 10, generator=_seeded())
    masked = mask_out(codes, is_masked, 8)
    assert (masked[is_masked] == 8).all()
    assert torch.equal(masked[~is_masked], codes[~is_masked])


def test_schedule_is_the_papers_for_sixteen_steps_of_two_thousand() -> None:
    total = torch.tensor([2000])
    masked = [num_masked_after(step, 16, total).item() for step in range(16)]
    assert masked == [1990, 1961, 1913, 1847, 1763, 1662, 1546, 1414, 1268, 1111, 942, 765, 580, 390, 196, 0]


@pytest.mark.parametrize("num_steps", [1, 2, 7, 36])
def test_schedule_ends_with_nothing_masked_and_is_never_negative(num_steps: int) -> None:
    total = torch.tensor([0, 1, 3, 4000])
    for step in range(num_steps):
        masked = num_masked_after(step, num_steps, total)
        assert (masked >= 0).all()
        expected = [math.floor(n * math.cos(math.pi / 2 * (step + 1) / num_steps)) for n in total.tolist()]
        assert masked.tolist() == (expected if step < num_steps - 1 else [0, 0, 0, 0])


def test_a_step_outside_the_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="step"):
        num_masked_after(16, 16, torch.tensor([5]))


def test_every_step_of_the_whole_schedule_fixes_a_token_until_none_is_masked() -> None:
    schedule = masking_schedule(50, torch.tensor([3, 0]))
    assert schedule.tolist() == [[2, 0], [1, 0], [0, 0]]
    assert masking_schedule(16, torch.tensor([2000]))[:, 0].tolist() == [
        num_masked_after(step, 16, torch.tensor([2000])).item() for step in range(16)
    ]
    assert masking_schedule(4, torch.tensor([0, 0])).shape == (0, 2)


def test_each_token_is_masked_with_a_probability_that_is_a_cosine() -> None:
    is_masked = draw_cosine_mask((4000, 2, 50), generator=_seeded())
    share = is_masked.flatten(1).float().mean(1)
    assert share.mean().item() == pytest.approx(2 / math.pi, abs=0.02)  # of cos(u), u uniform on [0, pi/2]
    assert (share > math.cos(math.pi / 4)).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert is_masked.flatten(1).any(1).all()
    few = draw_cosine_mask((500, 1, 2), generator=_seeded())
    assert few.flatten(1).any(1).all()
