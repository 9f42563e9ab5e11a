"""Conditioned blocks: what a condition changes, and that none, or a zero, leaves a plain block."""

import torch
from tiny import shaken

from vab.nn.adaln import AdaLNResidual, ConditionedBlock


def _shaken(block: ConditionedBlock) -> ConditionedBlock:
    torch.manual_seed(0)
    return shaken(block, 0.3).eval()


def test_a_zero_condition_leaves_a_plain_block_and_any_other_does_not() -> None:
    torch.manual_seed(0)
    modulated = _shaken(ConditionedBlock(8, 2, 2, context_width=4, modulation_width=6))
    plain = ConditionedBlock(8, 2, 2, context_width=4).eval()
    state = {name: value for name, value in modulated.state_dict().items() if "modulation" not in name}
    plain.load_state_dict(state)
    x, context = torch.randn(2, 5, 8), torch.randn(2, 3, 4)
    bias, looking = torch.zeros(1, 2, 5, 5), {"context": context, "context_bias": torch.zeros(1, 2, 5, 3)}
    expected = plain(x, bias, **looking)
    assert torch.equal(modulated(x, bias, modulation=torch.zeros(2, 5, 6), **looking), expected)
    assert not torch.allclose(modulated(x, bias, modulation=torch.ones(2, 5, 6), **looking), expected)


def test_a_fresh_block_is_plain_whatever_the_condition() -> None:
    torch.manual_seed(0)
    block = ConditionedBlock(8, 2, 2, modulation_width=6)
    x, bias = torch.randn(1, 5, 8), torch.zeros(1, 2, 5, 5)
    assert torch.equal(
        block(x, bias, modulation=torch.zeros(1, 5, 6)), block(x, bias, modulation=torch.randn(1, 5, 6))
    )


def test_modulation_is_shift_scale_and_gate_at_each_position() -> None:
    branch = AdaLNResidual(2, 2)
    with torch.no_grad():
        branch.modulation.normal_(generator=torch.Generator().manual_seed(0))
    x, condition = torch.randn(1, 3, 2), torch.randn(1, 3, 2)
    shift, scale, gate = (torch.nn.functional.silu(condition) @ branch.modulation.T).split(2, dim=-1)
    expected = x + (1 + gate) * 5 * ((1 + scale) * branch.norm(x) + shift)
    torch.testing.assert_close(branch(x, lambda normed: 5 * normed, condition), expected)
    elsewhere = condition.clone()
    elsewhere[:, 1] += 1
    changed = (branch(x, torch.square, elsewhere) != branch(x, torch.square, condition)).any(-1)
    assert changed.tolist() == [[False, True, False]]


def test_a_context_is_looked_at() -> None:
    block = _shaken(ConditionedBlock(8, 2, 2, context_width=4))
    x, bias, context = torch.randn(1, 5, 8), torch.zeros(1, 2, 5, 5), torch.randn(1, 3, 4)
    is_far = torch.zeros(1, 2, 5, 3)
    is_far[..., 2] = -1e4
    first = block(x, bias, context=context, context_bias=is_far)
    context[:, 2] += 1
    assert torch.equal(block(x, bias, context=context, context_bias=is_far), first)
    context[:, 1] += 1
    assert not torch.equal(block(x, bias, context=context, context_bias=is_far), first)
