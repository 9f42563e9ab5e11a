"""Cross-attention, causal attention and rotary positions, each against an explicit loop."""

import math

import pytest
import torch

from vab.nn.attention import CrossAttention
from vab.nn.causal import CausalAttention, KeyValueCache
from vab.nn.rotary import Turns, rotate


def test_cross_attention_equals_an_explicit_loop() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(width=12, context_width=5, num_heads=3)
    x, context = torch.randn(2, 4, 12), torch.randn(2, 6, 5)
    is_valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    out = attention(x, context, is_valid[:, None, None, :])
    query = attention.query(x)
    key, value = attention.key_value(context).chunk(2, dim=-1)
    expected = torch.zeros(2, 4, 12)
    for b in range(2):
        real = int(is_valid[b].sum())
        for h in range(3):
            part = slice(4 * h, 4 * h + 4)
            for i in range(4):
                scores = torch.stack([query[b, i, part] @ key[b, j, part] / 2 for j in range(real)])
                expected[b, i, part] = scores.softmax(0) @ value[b, :real, part]
    torch.testing.assert_close(out, attention.out(expected))


def test_cross_attention_with_times_knows_differences_in_time_alone() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(width=12, context_width=5, num_heads=3)
    x, context, at, seen = (
        torch.randn(1, 4, 12),
        torch.randn(1, 6, 5),
        torch.arange(4) / 50,
        torch.arange(6) / 5,
    )
    timed = attention(x, context, times=(at, seen))
    torch.testing.assert_close(timed, attention(x, context, times=(at + 3, seen + 3)), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(timed, attention(x, context, times=(at, seen + 1)))
    assert not torch.allclose(timed, attention(x, context))


def test_rotation_turns_pairs_by_time_over_period() -> None:
    torch.manual_seed(0)
    x, times = torch.randn(1, 1, 3, 6), torch.tensor([0.0, 0.3, 7.0])
    out = rotate(x, Turns.at(times, 6, shortest_period=0.5, longest_period=8.0))
    for n, time in enumerate(times.tolist()):
        for pair, period in enumerate((0.5, 2.0, 8.0)):
            angle = 2 * math.pi * time / period
            a, b = x[0, 0, n, pair].item(), x[0, 0, n, pair + 3].item()
            assert out[0, 0, n, pair].item() == pytest.approx(
                a * math.cos(angle) - b * math.sin(angle), abs=1e-5
            )
            assert out[0, 0, n, pair + 3].item() == pytest.approx(
                b * math.cos(angle) + a * math.sin(angle), abs=1e-5
            )


def test_scores_of_rotated_vectors_know_the_difference_in_time_alone() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(at: float, seen: float) -> torch.Tensor:
        return (rotate(query, torch.tensor([at])) * rotate(key, torch.tensor([seen]))).sum()

    torch.testing.assert_close(score(1.25, 0.5), score(3601.25, 3600.5), atol=1e-4, rtol=1e-4)
    assert not torch.isclose(score(1.25, 0.5), score(1.25, 0.75))


def test_causal_attention_equals_an_explicit_loop() -> None:
    torch.manual_seed(0)
    attention = CausalAttention(width=8, num_heads=2)
    x, times = torch.randn(2, 5, 8), torch.arange(5) / 50
    query, key, value = (
        part.unflatten(2, (2, 4)).transpose(1, 2) for part in attention.qkv(x).chunk(3, dim=-1)
    )
    query, key = rotate(query, times), rotate(key, times)
    expected = torch.zeros(2, 5, 8)
    for b in range(2):
        for h in range(2):
            for i in range(5):
                scores = torch.stack([query[b, h, i] @ key[b, h, j] / 2 for j in range(i + 1)])
                expected[b, i, 4 * h : 4 * h + 4] = scores.softmax(0) @ value[b, h, : i + 1]
    torch.testing.assert_close(attention(x, times), attention.out(expected))


def test_no_position_depends_on_a_later_one() -> None:
    torch.manual_seed(0)
    attention = CausalAttention(width=8, num_heads=2)
    x = torch.randn(1, 6, 8, requires_grad=True)
    for position in range(6):
        [gradient] = torch.autograd.grad(attention(x, torch.arange(6) / 50)[0, position].sum(), x)
        reached = gradient[0].abs().sum(dim=1) > 0
        assert reached.tolist() == [other <= position for other in range(6)]


@pytest.mark.parametrize("pieces", [[1, 1, 1, 1, 1, 1], [3, 1, 2], [6]])
def test_cached_equals_uncached(pieces: list[int]) -> None:
    torch.manual_seed(0)
    attention = CausalAttention(width=8, num_heads=2)
    x, times = torch.randn(2, 6, 8), torch.arange(6) / 50
    cache = KeyValueCache(2, 9, attention, x)
    shape = cache.key.shape
    with torch.no_grad():
        steps = [
            attention(part, when, cache)
            for part, when in zip(x.split(pieces, 1), times.split(pieces), strict=True)
        ]
        torch.testing.assert_close(torch.cat(steps, dim=1), attention(x, times), atol=1e-6, rtol=1e-5)
    assert cache.key.shape == shape == (2, 2, 9, 4)
    assert cache.length == 6


def test_a_full_cache_is_refused() -> None:
    attention = CausalAttention(width=8, num_heads=2)
    x = torch.randn(1, 3, 8)
    with pytest.raises(ValueError, match="room for 2"), torch.no_grad():
        attention(x, torch.arange(3) / 50, KeyValueCache(1, 2, attention, x))
