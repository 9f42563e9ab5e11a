"""Layouts of codebooks over columns, each against the table that the paper would draw."""

import pytest
import torch

from vab.decoding.patterns import PAD, Pattern, PatternName

P = 9
EXPECTED: dict[PatternName, list[list[int]]] = {
    "parallel": [[1, 2, 3], [4, 5, 6]],
    "delay": [[1, 2, 3, P], [P, 4, 5, 6]],
    "flattened": [[1, P, 2, P, 3, P], [P, 4, P, 5, P, 6]],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_codes_stand_where_the_pattern_says_and_come_back(name: PatternName) -> None:
    codes = torch.tensor([[[1, 2, 3], [4, 5, 6]]])
    pattern = Pattern.of(name, 2, 3)
    laid = pattern.lay(codes, P)
    assert laid[0].tolist() == EXPECTED[name]
    assert torch.equal(pattern.gather(laid), codes)
    assert torch.equal(
        pattern.gather(laid[..., None].expand(-1, -1, -1, 2)), codes[..., None].expand(-1, -1, -1, 2)
    )
    assert pattern.num_columns == len(EXPECTED[name][0])
    assert ((pattern.steps == PAD) == (laid[0] == P)).all()


def test_a_column_knows_the_step_that_it_begins_to_write() -> None:
    assert Pattern.of("delay", 3, 2).newest.tolist() == [0, 1, 2, 3]
    assert Pattern.of("flattened", 3, 2).newest.tolist() == [0, 0, 0, 1, 1, 1]
    assert Pattern.of("flattened", 3, 2).columns_per_step == 3


def test_one_codebook_has_one_pattern() -> None:
    patterns = [Pattern.of(name, 1, 5) for name in EXPECTED]
    assert all(torch.equal(each.steps, torch.arange(5)[None]) for each in patterns)
