"""What a GPU replays is what it would have computed."""

import pytest
import torch
from torch import nn

from vab.decoding.replay import _RECORDINGS, NUM_KEPT, Step, replayed

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")


def _step(model: nn.Module, condition: dict[str, torch.Tensor]) -> Step:
    def step(codes: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = (model(codes) * condition["scale"]).softmax(dim=-1) + noise
        return logits, logits > 0.5

    return step


@needs_gpu
def test_every_replayed_step_gives_what_it_would_have_computed() -> None:
    model = nn.Linear(8, 8, device="cuda")
    with torch.inference_mode():
        for size in (3, 3, 5, 3, 5, 5):
            condition = {"scale": torch.randn(size, 8, device="cuda")}
            step = _step(model, condition)
            replay = replayed(step, model=model, condition=condition, cfg_scale=1.0)
            for _ in range(3):
                inputs = torch.randn(size, 8, device="cuda"), torch.randn((), device="cuda")
                for ours, theirs in zip(replay(*inputs), step(*inputs), strict=True):
                    assert torch.equal(ours, theirs)
    assert len(_RECORDINGS[model]) == 2


@needs_gpu
def test_recordings_are_few_and_of_the_weights_where_they_are() -> None:
    model = nn.Linear(8, 8, device="cuda")
    with torch.inference_mode():
        for number in range(NUM_KEPT + 2):
            model.weight.data = torch.randn(8, 8, device="cuda")
            condition = {"scale": torch.ones(1, 8, device="cuda")}
            step = _step(model, condition)
            replay = replayed(step, model=model, condition=condition, cfg_scale=float(number))
            for _ in range(3):
                inputs = torch.randn(2, 8, device="cuda"), torch.randn((), device="cuda")
                assert torch.equal(replay(*inputs)[0], step(*inputs)[0])
    assert len(_RECORDINGS[model]) == NUM_KEPT
