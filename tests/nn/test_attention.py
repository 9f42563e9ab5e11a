"""Attention with ALiBi against explicit loops."""

import math

import pytest
import torch

from vab.nn.attention import SelfAttention, alibi_bias, alibi_slopes, attend


def test_slopes_of_a_power_of_two_are_geometric() -> None:
    slopes = alibi_slopes(16)
    assert slopes[0].item() == pytest.approx(2**-0.5)
    assert slopes[-1].item() == pytest.approx(2**-8)
    torch.testing.assert_close(slopes[1:] / slopes[:-1], torch.full((15,), 2**-0.5))


def test_slopes_between_powers_of_two_are_interpolated() -> None:
    slopes = alibi_slopes(20)
    assert len(slopes) == 20
    torch.testing.assert_close(slopes[:16], alibi_slopes(16))
    torch.testing.assert_close(slopes[16:], alibi_slopes(32)[0::2][:4])


def test_bias_is_symmetric_and_linear_in_distance() -> None:
    positions = torch.tensor([0.0, 2.0, 7.0])
    bias = alibi_bias(positions, 4)
    assert bias.shape == (1, 4, 3, 3)
    slopes = alibi_slopes(4)
    for head in range(4):
        for i in range(3):
            for j in range(3):
                expected = -slopes[head] * abs(positions[i] - positions[j])
                assert bias[0, head, i, j] == pytest.approx(expected.item())


def test_an_asymmetric_head_looks_to_one_side() -> None:
    positions = torch.tensor([0.0, 2.0, 7.0])
    bias, slopes = alibi_bias(positions, 4, is_asymmetric=True), alibi_slopes(4)
    for head in range(4):
        for i in range(3):
            for j in range(3):
                is_own_side = j <= i if head % 2 == 0 else j >= i
                steepness = slopes[head] * (1 if is_own_side else 4)
                expected = -steepness * abs(positions[i] - positions[j])
                assert bias[0, head, i, j] == pytest.approx(expected.item())


def test_attention_equals_an_explicit_loop() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(width=12, num_heads=3)
    x = torch.randn(2, 5, 12)
    bias = alibi_bias(torch.arange(5.0), 3)
    out = attention(x, bias)

    query, key, value = attention.qkv(x).chunk(3, dim=-1)
    expected = torch.zeros(2, 5, 12)
    for b in range(2):
        for h in range(3):
            part = slice(4 * h, 4 * h + 4)
            for i in range(5):
                scores = torch.stack(
                    [query[b, i, part] @ key[b, j, part] / math.sqrt(4) + bias[0, h, i, j] for j in range(5)]
                )
                expected[b, i, part] = scores.softmax(0) @ value[b, :, part]
    torch.testing.assert_close(out, attention.out(expected))


def test_width_must_divide_into_heads() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        SelfAttention(width=10, num_heads=3)


@pytest.mark.parametrize("kind", ["bias", "may look", "none"])
def test_attention_in_training_on_a_cpu_is_that_of_the_kernel(kind: str) -> None:
    torch.manual_seed(0)
    parts = [torch.randn(2, 3, 7, 8) for _ in range(3)]
    masks = {"bias": torch.randn(1, 3, 7, 7), "may look": torch.rand(2, 1, 7, 7) < 0.7, "none": None}
    mask = masks[kind]
    if kind == "may look":
        mask[..., 0] = True
    ours = attend(*(part.bfloat16().requires_grad_() for part in parts), mask)
    with torch.no_grad():
        kernels = attend(*parts, mask)
    torch.testing.assert_close(ours.float(), kernels, atol=0.03, rtol=0.03)
