"""Opinions and preferences: textbook numbers, extremes."""

import math

import pytest

from vab.metrics.opinion import mean_opinion, preference


def test_mean_opinion_is_students():
    opinion = mean_opinion([1, 2, 3, 4, 5])
    assert (opinion.mean, opinion.num_ratings) == (3, 5)
    assert opinion.deviation == pytest.approx(math.sqrt(2.5))
    # t of 4 degrees of freedom at 0.975 is 2.776.
    assert opinion.interval == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)
    assert math.isnan(mean_opinion([4]).interval)


def test_preference_counts_and_the_sign_test():
    found = preference([-2, -2, -1, -1, -1, -1, -1, -1, 0, 2])
    assert found.counts == (2, 6, 1, 0, 1)
    assert (found.share_of_first, found.share_of_second) == (0.8, 0.1)
    # 9 answers, 8 on one side: 2 (1 + 9) / 2^9.
    assert found.p_value == pytest.approx(20 / 512)
    assert preference([0, 0]).p_value == 1


def test_turning_every_answer_round_turns_the_result_round():
    answers = [-2, -1, 0, 1, 1]
    found, turned = preference(answers), preference([-answer for answer in answers])
    assert found.counts == turned.counts[::-1]
    assert found.p_value == turned.p_value


@pytest.mark.parametrize(("function", "values"), [(mean_opinion, [0]), (mean_opinion, []), (preference, [3])])
def test_impossible_answers_are_refused(function, values):
    with pytest.raises(ValueError, match="at least one"):
        function(values)
