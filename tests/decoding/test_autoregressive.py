"""How a token is chosen: every option changes the choice and its neutral value does not."""

from typing import Any

import pytest
import torch

from vab.decoding.autoregressive import choose_tokens, decode_columns
from vab.decoding.guidance import combine
from vab.decoding.options import AutoregressiveOptions
from vab.decoding.patterns import Pattern

PLAIN = {"cfg_scale": 1.0, "temperature": 1.0, "top_k": 0, "top_p": 1.0}


def options(**changes: Any) -> AutoregressiveOptions:
    return AutoregressiveOptions(**{**PLAIN, **changes})


def drawn(**changes: Any) -> torch.Tensor:
    """Shares of each token among many draws."""
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    uniform = (torch.arange(1000) + 0.5).view(1, -1) / 1000
    tokens = choose_tokens(logits.expand(1, 1000, 4), uniform, options(**changes))
    return torch.bincount(tokens.flatten(), minlength=4) / 1000


def test_tokens_are_drawn_by_their_probability() -> None:
    torch.testing.assert_close(drawn(), torch.tensor([0.4, 0.3, 0.2, 0.1]), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"temperature": 0.0}, [1.0, 0.0, 0.0, 0.0]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0.0, 0.0]),
        ({"top_k": 4}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.65}, [4 / 7, 3 / 7, 0.0, 0.0]),
        ({"top_p": 0.3}, [1.0, 0.0, 0.0, 0.0]),
        ({"top_k": 3, "top_p": 0.75}, [4 / 7, 3 / 7, 0.0, 0.0]),
    ],
)
def test_options_cut_and_sharpen(change: dict[str, Any], expected: list[float]) -> None:
    torch.testing.assert_close(drawn(**change), torch.tensor(expected), atol=2e-3, rtol=0)


def test_guidance_on_logits_is_the_paper_s_on_log_probabilities() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5)
    cond, uncond = logits.log_softmax(-1)
    paper = 6 * cond + (1 - 6) * uncond
    torch.testing.assert_close(combine(logits, 6.0).softmax(-1)[0], paper.softmax(-1))
    assert torch.equal(combine(logits, 1.0), logits)


@pytest.mark.parametrize("is_cached", [True, False])
def test_columns_are_written_in_order_and_a_prompt_stays(is_cached: bool) -> None:
    """A model that counts up from the column before, by one each codebook."""
    pattern, asked = Pattern.of("delay", 2, 6), []

    def next_logits(before: torch.Tensor, first: int) -> torch.Tensor:
        asked.append((first, before.shape[2]))
        following = torch.where(before[:, :, -1] == 20, 5, before[:, :, -1] + 1)
        return torch.nn.functional.one_hot(following, 20).float()

    codes = torch.tensor([[[3, 4, 0, 0, 0, 0], [7, 8, 0, 0, 0, 0]]])
    out = decode_columns(
        next_logits,
        codes,
        2,
        5,
        pattern,
        pad_token_id=20,
        options=options(temperature=0.0),
        generators=[torch.Generator().manual_seed(0)],
        is_cached=is_cached,
    )
    assert out[0, :, :5].tolist() == [[3, 4, 5, 6, 7], [7, 8, 9, 10, 11]]
    lengths = [(0, 3), (3, 1), (4, 1), (5, 1)] if is_cached else [(0, 3), (0, 4), (0, 5), (0, 6)]
    assert asked == lengths
