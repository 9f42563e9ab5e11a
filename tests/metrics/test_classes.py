"""Metrics of class probabilities: known values, SciPy's relative entropy, extremes."""

import pytest
import torch
from scipy.stats import entropy

from vab.metrics.classes import InceptionScore, inception_score, kl_divergence, top1_accuracy


def draw(count, classes, seed=0):
    return torch.rand(count, classes, generator=torch.Generator().manual_seed(seed)).softmax(dim=1)


def test_kl_is_scipys_of_the_reference_from_the_generated():
    generated, reference = draw(5, 7, seed=1), draw(5, 7, seed=2)
    expected = entropy(reference.double().numpy(), generated.double().numpy(), axis=1)
    assert kl_divergence(generated, reference).tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert kl_divergence(reference, reference).abs().max() < 1e-12


def test_kl_has_a_direction_and_an_end():
    sure, unsure = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    assert kl_divergence(unsure, sure).item() == pytest.approx(0.6931, abs=1e-3)
    assert kl_divergence(sure, unsure).item() == pytest.approx(6.21, abs=0.01)
    assert kl_divergence(sure, sure.flip(1)).item() < 14


def test_inception_score_lies_between_one_and_the_number_of_classes():
    assert inception_score(torch.eye(4)) == pytest.approx(4, abs=1e-3)
    assert inception_score(torch.eye(4)[[0, 0, 0]]) == pytest.approx(1)
    assert inception_score(torch.full((3, 4), 0.25)) == pytest.approx(1)


def test_inception_score_metric_is_the_function_in_any_order():
    probabilities = draw(9, 5)
    metric = InceptionScore()
    for row in probabilities[torch.randperm(9)]:
        metric.update(row[None])
    assert metric.compute() == pytest.approx(inception_score(probabilities))


def test_accuracy_gives_nothing_for_ties():
    probabilities = torch.tensor([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
    assert top1_accuracy(probabilities, torch.tensor([0, 0, 0])) == pytest.approx(1 / 3)
    assert top1_accuracy(probabilities, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)
