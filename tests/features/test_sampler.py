from collections import Counter
from itertools import islice

import pytest
import torch
from torch.utils.data import DataLoader

from vab.features.sampler import StepSampler, class_balanced_weights, mixed_seed


def first(sampler: StepSampler, count: int) -> list[list[tuple[int, int]]]:
    return list(islice(sampler, count))


def test_resuming_at_any_batch_continues_the_same_sequence() -> None:
    whole = first(StepSampler(10, 4, seed=3), 12)
    for start in range(12):
        assert first(StepSampler(10, 4, seed=3, start_batch=start), 12 - start) == whole[start:]


def test_every_epoch_is_a_new_permutation_without_loss() -> None:
    items = [item for batch in first(StepSampler(10, 4, seed=0), 5) for item, _ in batch]
    assert sorted(items[:10]) == sorted(items[10:20]) == list(range(10))
    assert items[:10] != items[10:20]


def test_seeds_differ_between_samples_and_runs() -> None:
    def seeds(run: int) -> list[int]:
        return [seed for batch in first(StepSampler(10, 4, seed=run), 25) for _, seed in batch]

    assert len({seed & 0xFFFFFFFF for seed in seeds(0)}) == 100, "torch's CPU generator uses 32 bits"
    assert not set(seeds(0)) & set(seeds(1))
    assert first(StepSampler(10, 4, seed=0), 3) != first(StepSampler(10, 4, seed=1), 3)


def test_replicas_share_one_global_batch() -> None:
    alone = StepSampler(10, 6, seed=5)
    shares = [StepSampler(10, 3, seed=5, num_replicas=2, rank=rank) for rank in range(2)]
    for number in range(7):
        assert shares[0].batch(number) + shares[1].batch(number) == alone.batch(number)


def test_weights_set_how_often_items_come() -> None:
    sampler = StepSampler(4, 100, seed=0, weights=[0.0, 1.0, 1.0, 2.0])
    count = Counter(item for batch in first(sampler, 40) for item, _ in batch)
    assert count[0] == 0
    assert count[3] / count[1] == pytest.approx(2, rel=0.15)
    assert first(StepSampler(4, 100, seed=0, weights=[0.0, 1.0, 1.0, 2.0], start_batch=7), 1)[
        0
    ] == sampler.batch(7)


def test_class_balanced_weights_even_out_classes() -> None:
    weights = class_balanced_weights([["a"]] * 9 + [["b"]] + [["a", "b"]])
    assert weights[9] / weights[0] == pytest.approx(10 / 2, rel=0.01)
    assert weights[10] == pytest.approx(weights[0] + weights[9])


def test_length_and_borders() -> None:
    assert len(StepSampler(10, 4, seed=0, num_batches=7, start_batch=2)) == 5
    assert len(list(StepSampler(10, 4, seed=0, num_batches=7, start_batch=2))) == 5
    with pytest.raises(TypeError):
        len(StepSampler(10, 4, seed=0))
    with pytest.raises(ValueError, match="nothing to sample"):
        StepSampler(0, 4, seed=0)
    with pytest.raises(ValueError, match="3 weights for 4 items"):
        StepSampler(4, 4, seed=0, weights=[1.0] * 3)


def test_it_drives_a_data_loader() -> None:
    class Echo(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __getitems__(self, items: list[tuple[int, int]]) -> list[tuple[int, int]]:
            return items

    sampler = StepSampler(10, 4, seed=0, num_batches=3)
    assert list(DataLoader(Echo(), batch_sampler=sampler, collate_fn=list)) == list(sampler)


def test_mixed_seed_separates_order_and_number_of_parts() -> None:
    seeds = [mixed_seed(1, 2), mixed_seed(2, 1), mixed_seed(1), mixed_seed(1, 2, 0), mixed_seed(0, 1, 2)]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 1 << 63 for seed in seeds)
