"""Iterative decoding: the thirteen things a correct loop must get right."""

import pytest
import torch

from vab.decoding import iterative
from vab.decoding.guidance import branches, guide
from vab.decoding.iterative import decode_iteratively, gumbel, least_confident, sample_tokens
from vab.decoding.masks import num_masked_after
from vab.decoding.options import DecodingOptions

K, S, V = 3, 20, 11
MASK = V


def _generators(batch: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + index) for index in range(batch)]


def _peaked(target: torch.Tensor, strength: float = 30.0):  # type: ignore[no-untyped-def]
    """A model that is sure of ``target``."""

    def logits_of(codes: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(target, V).float() * strength

    return logits_of


def _decode(logits_of, codes, is_masked, options=None, seed=0):  # type: ignore[no-untyped-def]
    return decode_iteratively(
        logits_of,
        codes,
        is_masked,
        mask_token_id=MASK,
        options=options or DecodingOptions(num_steps=8, cfg_scale=1.0, temperature=4.0),
        generators=_generators(len(codes), seed),
    )


def _all_masked(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(batch, K, S, dtype=torch.long), torch.ones(batch, K, S, dtype=torch.bool)


def test_a_sure_model_is_reproduced() -> None:
    target = torch.randint(0, V, (2, K, S))
    assert torch.equal(_decode(_peaked(target), *_all_masked(2)), target)


def test_model_sees_masks_that_shrink_by_the_schedule() -> None:
    seen = []

    def logits_of(codes: torch.Tensor) -> torch.Tensor:
        seen.append((codes == MASK).flatten(1).sum(1).tolist())
        return torch.zeros(*codes.shape, V)

    out = _decode(logits_of, *_all_masked(2))
    total = torch.tensor([K * S] * 2)
    expected = [total.tolist()] + [num_masked_after(step, 8, total).tolist() for step in range(7)]
    assert seen == expected
    assert out.min() >= 0
    assert out.max() < V


def test_at_least_one_token_is_fixed_a_step_even_with_more_steps_than_tokens() -> None:
    calls = []

    def logits_of(codes: torch.Tensor) -> torch.Tensor:
        calls.append((codes == MASK).sum().item())
        return torch.zeros(*codes.shape, V)

    codes, is_masked = _all_masked(1)
    is_masked[:] = False
    is_masked[0, 0, :3] = True
    _decode(logits_of, codes, is_masked, DecodingOptions(num_steps=50, cfg_scale=1.0))
    assert calls == [3, 2, 1]


def test_prompt_never_changes_and_is_not_counted() -> None:
    codes = torch.randint(0, V, (1, K, S))
    is_masked = torch.rand(1, K, S) < 0.5
    seen = []

    def logits_of(current: torch.Tensor) -> torch.Tensor:
        assert torch.equal(current[~is_masked], codes[~is_masked])
        seen.append((current == MASK).sum().item())
        return torch.zeros(*current.shape, V)

    out = _decode(logits_of, codes, is_masked)
    assert torch.equal(out[~is_masked], codes[~is_masked])
    assert seen[0] == is_masked.sum().item()
    assert seen[1] == num_masked_after(0, 8, is_masked.sum()[None]).item()


def test_fixed_tokens_stay_fixed() -> None:
    history = []

    def logits_of(codes: torch.Tensor) -> torch.Tensor:
        history.append(codes.clone())
        return torch.zeros(*codes.shape, V)

    final = _decode(logits_of, *_all_masked(1))
    for before, after in zip(history, [*history[1:], final], strict=True):
        was_known = before != MASK
        assert torch.equal(before[was_known], after[was_known])


def test_ties_never_miscount() -> None:
    confidence = torch.zeros(2, K, S)
    is_masked = least_confident(confidence, torch.tensor([5, 0]))
    assert is_masked.flatten(1).sum(1).tolist() == [5, 0]


def test_a_clip_does_not_depend_on_its_batch() -> None:
    target = torch.randint(0, V, (3, K, S))
    logits = torch.randn(3, K, S, V)
    together = _decode(lambda codes: logits, *_all_masked(3))
    for index in range(3):
        alone = decode_iteratively(
            lambda codes, index=index: logits[index : index + 1],
            *_all_masked(1),
            mask_token_id=MASK,
            options=DecodingOptions(num_steps=8, cfg_scale=1.0, temperature=4.0),
            generators=[torch.Generator().manual_seed(index)],
        )
        assert torch.equal(alone[0], together[index])
    assert not torch.equal(together[0], target[0])


@pytest.mark.parametrize("change", [{"num_steps": 3}, {"temperature": 0.0}, {"temperature": 30.0}])
def test_every_option_changes_the_result(change: dict[str, float]) -> None:
    torch.manual_seed(0)
    mix = torch.randn(K * S, K * S) / 4

    def logits_of(codes: torch.Tensor) -> torch.Tensor:  # depends on what is known, as a real model's do
        known = torch.where(codes == MASK, 0.0, codes.float() + 1)
        context = (known.flatten(1) @ mix).view(-1, K, S, 1)
        return context * torch.linspace(-1, 1, V)

    plain = {"num_steps": 8, "cfg_scale": 1.0, "temperature": 4.0}
    first = _decode(logits_of, *_all_masked(1), DecodingOptions(**plain))
    assert torch.equal(first, _decode(logits_of, *_all_masked(1), DecodingOptions(**plain)))
    changed = _decode(logits_of, *_all_masked(1), DecodingOptions(**{**plain, **change}))
    assert not torch.equal(first, changed)


def test_without_noise_the_surest_tokens_come_first() -> None:
    sure = torch.zeros(1, K, S, dtype=torch.bool)
    sure[0, 1] = True
    order = []

    def logits_of(codes: torch.Tensor) -> torch.Tensor:
        order.append(codes != MASK)
        logits = torch.zeros(1, K, S, V)
        logits[sure] = torch.nn.functional.one_hot(torch.tensor(4), V).float() * 40
        return logits

    _decode(logits_of, *_all_masked(1), DecodingOptions(num_steps=8, cfg_scale=1.0, temperature=0.0))
    num_known = [known.sum().item() for known in order]
    for known, count in zip(order, num_known, strict=True):
        assert (known & sure).sum().item() == min(count, S)


def test_samples_follow_the_distribution_and_carry_its_log_probability() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0]).expand(1, 1, 20_000, 3)
    tokens, log_probability = sample_tokens(logits, torch.rand(1, 1, 20_000, generator=_generators(1)[0]))
    share = torch.bincount(tokens.flatten(), minlength=3) / tokens.numel()
    torch.testing.assert_close(share, logits[0, 0, 0].softmax(0), atol=0.01, rtol=0)
    torch.testing.assert_close(log_probability, logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0])


def test_one_uniform_number_draws_the_token_where_the_cumulative_distribution_passes_it() -> None:
    logits = torch.tensor([0.0, 0.3, 0.0, 0.5, 0.2, 0.0]).log().expand(1, 1, 6, 6)
    below, above = 1 - 2**-24, 0.30001
    tokens, _ = sample_tokens(logits, torch.tensor([[[0.0, 0.29999, above, 0.79999, 0.80001, below]]]))
    assert tokens.flatten().tolist() == [1, 1, 3, 3, 4, 4]


def test_gumbel_noise_is_finite_and_of_unit_scale() -> None:
    noise = gumbel(torch.rand(200_000, generator=_generators(1)[0]))
    assert noise.isfinite().all()
    assert gumbel(torch.tensor([0.0, 1.0])).isfinite().all()
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.dtype == torch.float32


def test_guidance_follows_its_formula() -> None:
    cond, uncond = torch.randn(2, K, S, V), torch.randn(2, K, S, V)
    codes = torch.zeros(2, K, S, dtype=torch.long)

    def guided(cfg_scale: float) -> torch.Tensor:
        logits = torch.cat([uncond if is_dropped else cond for is_dropped in branches(cfg_scale)])

        def logits_of(codes: torch.Tensor) -> torch.Tensor:
            assert len(codes) == len(logits)
            return logits

        return guide(logits_of, cfg_scale)(codes)

    torch.testing.assert_close(guided(1.0), cond)
    torch.testing.assert_close(guided(0.0), uncond)
    torch.testing.assert_close(guided(3.0), uncond + 3 * (cond - uncond))


@pytest.mark.parametrize("change", [{"num_steps": 0}, {"cfg_scale": -1.0}, {"temperature": -0.1}])
def test_impossible_options_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        DecodingOptions(**change)  # type: ignore[arg-type]


def test_half_precision_logits_are_widened() -> None:
    dtypes = []
    original = iterative.sample_tokens

    def spy(logits, uniform):  # type: ignore[no-untyped-def]
        dtypes.append(logits.dtype)
        return original(logits, uniform)

    iterative.sample_tokens = spy
    try:
        _decode(lambda codes: torch.zeros(*codes.shape, V, dtype=torch.bfloat16), *_all_masked(1))
    finally:
        iterative.sample_tokens = original
    assert set(dtypes) == {torch.float32}
